-- Each sandbox and each checkpoint is on one worker. Until now there was one, whatever its host was called: the first
-- that says its id is given all that is there.
create table workers (
  id text primary key,
  address text, -- where it was reached the last time; null: another worker is there now
  state text not null check (state in ('active', 'draining')), -- draining: it gets no new sandboxes
  machines_max integer not null,
  memory_mb_max integer not null, -- of all machines that run
  last_seen_at integer not null
) strict;
create unique index workers_by_address on workers (address) where address is not null;

alter table checkpoints add column worker_id text not null default ''; -- '': of the first worker that comes

create index sandboxes_by_worker on sandboxes (worker_id, state);
create index checkpoints_by_worker on checkpoints (worker_id, state);
