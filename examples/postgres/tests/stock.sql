insert into product values ('tea', 3);
select buy('tea', 2);

do $$
begin
  assert (select stock from product where name = 'tea') = 1, 'what was bought is not in stock';
  begin
    perform buy('tea', 2);
    assert false, 'more was bought than there is';
  exception when check_violation then null;
  end;
  assert (select stock from product where name = 'tea') = 1, 'a purchase that failed has taken something';
end $$;
