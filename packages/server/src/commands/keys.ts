import { existsSync, lstatSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { addKey, defaultOwner, revokeKey } from '../auth/keys.ts';
import { dataFiles, loadConfig } from '../config.ts';
import { becomeUser } from '../privileges.ts';
import { openStore } from '../store/database.ts';
import { listKeys } from '../store/keys.ts';
import type { ApiKeyRow, Store } from '../store/tables.ts';

const usage = `usage: npm run keys -- COMMAND

  add NAME [--owner OWNER]   make a key and print it, once; sandboxes belong to the owner ("${defaultOwner}" by default)
  list                       show the keys, without their secret part
  revoke ID|PREFIX           end a key; it takes effect within a second, also while the server runs

With --json the answer is JSON. The data directory is OPENCOMPUTER_DATA_DIR, as for the server.
`;

/** A key for programs, without its secret part. */
function keyJson({ id, name, owner, prefix, created_at, revoked_at }: ApiKeyRow): object {
  const at = (ms: number | null): string | null => (ms === null ? null : time(ms));
  return { id, name, owner, prefix, createdAt: at(created_at), revokedAt: at(revoked_at) };
}

/** A wrong command line. */
export class UsageError extends Error {}

function time(ms: number | null): string {
  return ms === null ? '-' : new Date(ms).toISOString();
}

function table(rows: readonly ApiKeyRow[]): string {
  const lines = [
    ['ID', 'NAME', 'OWNER', 'KEY', 'CREATED', 'REVOKED'],
    ...rows.map((row) => [
      row.id,
      row.name,
      row.owner,
      `${row.prefix}...`,
      time(row.created_at),
      time(row.revoked_at),
    ]),
  ];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * Runs one command of key management.
 * @returns What to print.
 * @throws UsageError; Error when the name is bad or no key fits.
 */
export async function runKeysCommand(store: Store, args: readonly string[]): Promise<string> {
  const parsed = parse(args);
  const [command, subject, ...rest] = parsed.positionals;
  if (rest.length > 0) throw new UsageError(`too many arguments: ${rest.join(' ')}`);
  switch (command) {
    case 'add': {
      if (subject === undefined) throw new UsageError('add: give the key a name');
      const { key, row } = await addKey(store, subject, parsed.owner ?? defaultOwner);
      if (parsed.json) return JSON.stringify({ ...keyJson(row), key }, undefined, 2);
      return `${key}\n\nKey ${row.id} of ${row.owner}. It is shown only now.`;
    }
    case 'list': {
      if (subject !== undefined) throw new UsageError('list takes no argument');
      const rows = await listKeys(store);
      return parsed.json ? JSON.stringify(rows.map(keyJson), undefined, 2) : table(rows);
    }
    case 'revoke': {
      if (subject === undefined) throw new UsageError('revoke: name the key by its id or prefix');
      const row = await revokeKey(store, subject);
      if (parsed.json) return JSON.stringify(keyJson(row), undefined, 2);
      return `revoked key ${row.id} (${row.name})`;
    }
    case undefined:
      throw new UsageError('give a command');
    default:
      throw new UsageError(`unknown command ${command}`);
  }
}

function parse(args: readonly string[]): { positionals: string[]; owner: string | undefined; json: boolean } {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { owner: { type: 'string' }, json: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    if (values.owner !== undefined && positionals[0] !== 'add')
      throw new UsageError('--owner belongs to "add"');
    return { positionals, owner: values.owner, json: values.json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

/** What is in the server's directory is no place for root to write: its user may have put links there. */
function becomeOwnerOf(directory: string): void {
  const owner = lstatSync(directory, { throwIfNoEntry: false });
  if (process.getuid?.() === 0 && owner !== undefined) becomeUser(owner);
}

async function main(): Promise<void> {
  const { dataDirectory, databaseUrl } = loadConfig(process.env);
  const { directory, database } = dataFiles(dataDirectory);
  becomeOwnerOf(directory);
  if (databaseUrl === undefined && !existsSync(database))
    throw new Error(
      `there is no database at ${database}: start the server once, or set OPENCOMPUTER_DATA_DIR or OPENCOMPUTER_DATABASE_URL`,
    );
  const store = await openStore(databaseUrl ?? database);
  try {
    console.log(await runKeysCommand(store, process.argv.slice(2)));
  } finally {
    await store.destroy();
  }
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    if (error instanceof UsageError) console.error(`\n${usage}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  });
}
