create table product (
  name  text primary key,
  stock integer not null check (stock >= 0)
);

create table purchase (
  id      bigint generated always as identity primary key,
  product text not null references product,
  amount  integer not null check (amount > 0)
);

-- Takes what is bought out of the stock; fails where there is not enough.
create function buy(wanted text, amount integer) returns bigint language sql as $$
  update product set stock = stock - amount where name = wanted;
  insert into purchase (product, amount) values (wanted, amount) returning id;
$$;
