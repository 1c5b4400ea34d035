-- Times are Unix milliseconds unless the name says otherwise.
create table settings (
  name text primary key,
  value text not null
) strict;

create table api_keys (
  id text primary key,
  owner text not null,
  name text not null,
  prefix text not null,
  hash text not null unique, -- SHA-256, hex
  source text not null check (source in ('bootstrap', 'command')),
  created_at integer not null,
  revoked_at integer
) strict;

create table sandboxes (
  id text primary key,
  owner text not null,
  state text not null check (state in ('creating', 'running', 'stopping', 'stopped', 'error')),
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
  emulated integer not null
) strict;

create index sandboxes_by_owner on sandboxes (owner, created_at desc, id desc);
create index sandboxes_live on sandboxes (owner) where state in ('creating', 'running', 'stopping');
create index sandboxes_by_state on sandboxes (state);

create table operations (
  id text primary key,
  kind text not null,
  sandbox_id text not null references sandboxes (id) on delete cascade,
  input text not null, -- JSON
  state text not null check (state in ('running', 'undoing', 'done', 'undone')),
  step integer not null, -- steps finished and not undone
  attempts integer not null,
  error text, -- JSON: why it is being undone
  created_at integer not null,
  updated_at integer not null,
  deadline_at integer not null
) strict;

create index operations_by_state on operations (state, updated_at);
create index operations_by_sandbox on operations (sandbox_id);

create table events (
  id integer primary key autoincrement,
  sandbox_id text not null references sandboxes (id) on delete cascade,
  time integer not null,
  actor text not null, -- 'client' or 'system'
  kind text not null,
  reason text
) strict;

create index events_by_sandbox on events (sandbox_id, id);
