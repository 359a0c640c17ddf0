insert into product values ('tea', 10);
select buy('tea', 1), buy('tea', 2);

do $$
begin
  assert (select array_agg(amount order by id) from purchase) = array[1, 2], 'purchases are kept in their order';
  begin
    perform buy('coffee', 1);
    assert false, 'what is unknown was bought';
  exception when foreign_key_violation then null;
  end;
end $$;
