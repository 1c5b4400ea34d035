alter table sandboxes drop constraint sandboxes_state_check;
alter table sandboxes add check (state in ('creating', 'running', 'hibernated', 'stopping', 'stopped', 'error'));
alter table sandboxes add column hibernated_at bigint;
alter table sandboxes add column hibernation_bytes bigint not null default 0;
alter table sandboxes add column started_from text; -- 'memory' or 'disk'; null: not known
alter table sandboxes add column cold_boot_reason text;
alter table sandboxes add column patch_error text;
alter table sandboxes add column from_checkpoint_id text; -- what it was forked from; kept when that is deleted
alter table sandboxes add column base_checkpoint_id text; -- what its present state came from
alter table sandboxes add column fork_group text; -- set until all forks of one call stand

drop index sandboxes_live;
create index sandboxes_live on sandboxes (owner, state) where state in ('creating', 'running', 'hibernated', 'stopping');
create index sandboxes_by_checkpoint on sandboxes (from_checkpoint_id) where from_checkpoint_id is not null;
create index sandboxes_by_base on sandboxes (base_checkpoint_id) where base_checkpoint_id is not null;
create index sandboxes_by_group on sandboxes (fork_group) where fork_group is not null;

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
  memory_mb bigint not null,
  disk_mb bigint not null,
  envs text not null, -- JSON object
  metadata text not null, -- JSON object
  size_bytes bigint not null,
  pause_ms double precision,
  is_public integer not null,
  created_at bigint not null,
  failed_at bigint
);

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
  created_at bigint not null,
  unique (checkpoint_id, sequence)
);

-- Written before a patch is run, so that it is run once at most.
create table patch_runs (
  sandbox_id text not null references sandboxes (id) on delete cascade,
  patch_id text not null references patches (id) on delete cascade,
  exec_id text not null,
  error text, -- why it failed
  ended_at bigint,
  primary key (sandbox_id, patch_id)
);
