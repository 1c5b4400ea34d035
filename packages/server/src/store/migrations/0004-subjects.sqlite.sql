-- Operations work on subjects of any kind, and belong to the server that runs them until their lease is over. What is
-- forgotten with its subject, the store forgets: SQLite cannot refer to rows of several tables.
create table operations_new (
  id text primary key,
  kind text not null,
  subject_kind text not null,
  subject_id text not null,
  input text not null, -- JSON
  state text not null check (state in ('running', 'undoing', 'done', 'undone')),
  step integer not null, -- steps finished and not undone
  attempts integer not null,
  error text, -- JSON: why it is being undone
  created_at integer not null,
  updated_at integer not null,
  deadline_at integer not null,
  owner text not null, -- the server that runs it, or ran it last
  owned_until integer not null -- when another one may take it over
) strict;

insert into operations_new
select
  id, kind, 'sandbox', sandbox_id, input, state, step, attempts, error, created_at, updated_at, deadline_at, '', 0
from operations
order by rowid;

drop table operations;
alter table operations_new rename to operations;

create index operations_by_state on operations (state, updated_at);
create index operations_by_subject on operations (subject_kind, subject_id);
