-- SPDX-License-Identifier: MIT
-- sqlite3: tables, indices, triggers, transactions, joins; deterministic. @n@ rows.
.bail on
pragma cache_size = -4000;
create table person(id integer primary key, name text, town text, born int);
create table visit(person int references person, day int, note text);
create table log(what text, n int);
create trigger counted after insert on visit when new.day % 100 = 0
  begin insert into log values ('visit ' || new.note, new.day); end;
begin;
with recursive i(n) as (select 1 union all select n + 1 from i where n < @n@)
  insert into person select n, 'name ' || (n * 7919 % 10007), 'town ' || (n * 31 % 97), 1900 + n % 100 from i;
create index by_name on person(name);
create index by_town on person(town, born);
commit;
begin;
insert into visit select id, (id * 13) % 1000, hex(id * 104729) || name from person;
insert into visit select id, (id * 17) % 1000, printf('%0*d', id % 60, id) from person where id % 2;
savepoint s; delete from visit where day < 500; rollback to s;
create index by_person on visit(person, day);
commit;
update person set town = 'moved ' || town where id % 5 = 0;
delete from visit where day % 7 = 3;
select count(*), sum(length(note)) from visit;
select town, count(*), group_concat(born, '') from (select town, born from person order by town, born, id)
  group by town order by 2 desc, 1 limit 5;
select p.name, v.n from person p join (select person, count(*) n from visit group by person) v
  on v.person = p.id order by v.n desc, p.id limit 10;
select sum(x) from (select row_number() over (partition by town order by name, id) x from person);
select count(distinct name), max(length(name)) from person;
select count(*), sum(n) from log;
create table copy as select json_object('id', id, 'name', name, 'towns', json_array(town, born)) j from person;
select sum(json_extract(j, '$.id')), max(json_extract(j, '$.towns[0]')) from copy;
drop table copy;
vacuum;
pragma integrity_check;
