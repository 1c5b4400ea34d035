-- SQLite cannot change a check: the tables are written anew, those that refer to others first.
create table sandboxes_new (
  id text primary key,
  owner text not null,
  state text not null check (state in ('creating', 'running', 'hibernated', 'stopping', 'stopped', 'error')),
  reason text,
  template text not null,
  cpu_count integer not null,
  memory_mb integer not null,
  disk_mb integer not null,
  envs text not null, -- JSON object
  metadata text not null, -- JSON object
  timeout_s integer not null, -- 0: never
  created_at integer not null,
  started_at integer, -- null: never ran
  last_active_at integer not null,
  stopped_at integer,
  worker_id text not null,
  emulated integer not null,
  hibernated_at integer,
  hibernation_bytes integer not null default 0,
  started_from text, -- 'memory' or 'disk'; null: not known
  cold_boot_reason text,
  patch_error text,
  from_checkpoint_id text, -- what it was forked from; kept when that is deleted
  base_checkpoint_id text, -- what its present state came from: the newest of its fork, checkpoints and restores
  fork_group text -- set until all forks of one call stand
) strict;

create table operations_new (
  id text primary key,
  kind text not null,
  sandbox_id text not null references sandboxes_new (id) on delete cascade,
  input text not null, -- JSON
  state text not null check (state in ('running', 'undoing', 'done', 'undone')),
  step integer not null, -- steps finished and not undone
  attempts integer not null,
  error text, -- JSON: why it is being undone
  created_at integer not null,
  updated_at integer not null,
  deadline_at integer not null
) strict;

create table events_new (
  id integer primary key autoincrement,
  sandbox_id text not null references sandboxes_new (id) on delete cascade,
  time integer not null,
  actor text not null, -- 'client' or 'system'
  kind text not null,
  reason text
) strict;

insert into sandboxes_new (
  id, owner, state, reason, template, cpu_count, memory_mb, disk_mb, envs, metadata, timeout_s,
  created_at, started_at, last_active_at, stopped_at, worker_id, emulated
)
select
  id, owner, state, reason, template, cpu_count, memory_mb, disk_mb, envs, metadata, timeout_s,
  created_at, started_at, last_active_at, stopped_at, worker_id, emulated
from sandboxes;
insert into operations_new select * from operations;
insert into events_new (id, sandbox_id, time, actor, kind, reason)
select id, sandbox_id, time, actor, kind, reason from events;

drop table events;
drop table operations;
drop table sandboxes;
alter table sandboxes_new rename to sandboxes;
alter table operations_new rename to operations;
alter table events_new rename to events;

create index sandboxes_by_owner on sandboxes (owner, created_at desc, id desc);
create index sandboxes_live on sandboxes (owner, state) where state in ('creating', 'running', 'hibernated', 'stopping');
create index sandboxes_by_state on sandboxes (state);
create index sandboxes_by_checkpoint on sandboxes (from_checkpoint_id) where from_checkpoint_id is not null;
create index sandboxes_by_base on sandboxes (base_checkpoint_id) where base_checkpoint_id is not null;
create index sandboxes_by_group on sandboxes (fork_group) where fork_group is not null;
create index operations_by_state on operations (state, updated_at);
create index operations_by_sandbox on operations (sandbox_id);
create index events_by_sandbox on events (sandbox_id, id);

create table checkpoints (
  id text primary key,
  owner text not null,
  sandbox_id text not null references sandboxes (id),
  name text, -- null: made for one call that forks
  kind text not null check (kind in ('full', 'disk_only')),
  state text not null check (state in ('processing', 'ready', 'failed', 'deleting')),
  error text,
  parent_id text,
  template text not null,
  cpu_count integer not null,
  memory_mb integer not null,
  disk_mb integer not null,
  envs text not null, -- JSON object
  metadata text not null, -- JSON object
  size_bytes integer not null,
  pause_ms real,
  is_public integer not null,
  created_at integer not null,
  failed_at integer
) strict;

create index checkpoints_by_sandbox on checkpoints (sandbox_id, created_at desc);
create index checkpoints_by_owner on checkpoints (owner, created_at desc, id desc);
create index checkpoints_by_parent on checkpoints (parent_id) where parent_id is not null;
create unique index checkpoints_by_name on checkpoints (sandbox_id, name)
where name is not null and state in ('processing', 'ready');

create table patches (
  id text primary key,
  checkpoint_id text not null references checkpoints (id) on delete cascade,
  sequence integer not null,
  script text not null,
  description text not null,
  created_at integer not null,
  unique (checkpoint_id, sequence)
) strict;

-- Written before a patch is run, so that it is run once at most.
create table patch_runs (
  sandbox_id text not null references sandboxes (id) on delete cascade,
  patch_id text not null references patches (id) on delete cascade,
  exec_id text not null,
  error text, -- why it failed
  ended_at integer,
  primary key (sandbox_id, patch_id)
) strict, without rowid;
