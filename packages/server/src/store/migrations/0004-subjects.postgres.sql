-- Operations work on subjects of any kind, and belong to the server that runs them until their lease is over. What is
-- forgotten with its subject, the store forgets: no key can refer to rows of several tables.
alter table operations drop constraint operations_sandbox_id_fkey;
alter table operations rename column sandbox_id to subject_id;
alter table operations add column subject_kind text not null default 'sandbox';
alter table operations alter column subject_kind drop default;
alter table operations add column owner text not null default ''; -- the server that runs it, or ran it last
alter table operations add column owned_until bigint not null default 0; -- when another one may take it over
alter table operations alter column owner drop default;
alter table operations alter column owned_until drop default;
drop index operations_by_sandbox;
create index operations_by_subject on operations (subject_kind, subject_id);
