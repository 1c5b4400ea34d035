import {
  createSandboxSchema,
  listSandboxesQuerySchema,
  operations,
  setTimeoutSchema,
} from '@opencomputer/protocol';
import { clientGone } from '../http/server.ts';
import { pageOfSandboxes } from '../sandboxes/listing.ts';
import { type ApiContext, callerOf, type Handler } from './context.ts';
import { readJson, readQuery, sandboxId } from './input.ts';
import { present, presentWithToken } from './present.ts';

/** The filters `metadata[key]=value` of a query. */
function metadataFilters(c: ApiContext): [key: string, value: string][] {
  return Object.entries(c.req.queries()).flatMap(([name, values]) => {
    const key = operations.listSandboxes.queryNames.exec(name)?.[1];
    return key === undefined ? [] : values.map((value): [string, string] => [key, value]);
  });
}

export const createSandbox: Handler = async (c, services) => {
  const request = await readJson(c, createSandboxSchema(services.shape));
  const row = await services.sandboxes.create(callerOf(c).owner, request, clientGone(c));
  return c.json(await presentWithToken(c, row, services), 201);
};

export const listSandboxes: Handler = async (c, services) => {
  const query = readQuery(c, listSandboxesQuerySchema);
  const { owner } = callerOf(c);
  const page = await pageOfSandboxes(services.store, owner, query, metadataFilters(c));
  if (page.next !== undefined) c.header('X-Next-Cursor', page.next);
  return c.json(page.rows.map((row) => present(row, services)));
};

export const getSandbox: Handler = async (c, services) => {
  const row = await services.sandboxes.get(callerOf(c).owner, sandboxId(c));
  return c.json(await presentWithToken(c, row, services));
};

export const deleteSandbox: Handler = async (c, { sandboxes }) => {
  await sandboxes.kill(callerOf(c).owner, sandboxId(c));
  return c.body(null, 204);
};

export const setTimeout: Handler = async (c, { sandboxes }) => {
  const { timeout } = await readJson(c, setTimeoutSchema);
  await sandboxes.setTimeout(callerOf(c).owner, sandboxId(c), timeout);
  return c.body(null, 204);
};
