import {
  createSandboxSchema,
  listSandboxesQuerySchema,
  endpoints,
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
    const key = endpoints.listSandboxes.queryNames.exec(name)?.[1];
    return key === undefined ? [] : values.map((value): [string, string] => [key, value]);
  });
}

export const createSandbox: Handler<
  'idle' | 'installation' | 'publicUrl' | 'sandboxes' | 'shape' | 'tokens'
> = async (c, services) => {
  const request = await readJson(c, createSandboxSchema(services.shape));
  const template = request.templateID === 'default' ? 'base' : request.templateID;
  const sandbox = { ...request, owner: callerOf(c).owner, template };
  const row = await services.sandboxes.create(sandbox, clientGone(c));
  return c.json(await presentWithToken(c, row, services), 201);
};

export const listSandboxes: Handler<'idle' | 'installation' | 'store'> = async (c, services) => {
  const query = readQuery(c, listSandboxesQuerySchema);
  const { owner } = callerOf(c);
  const page = await pageOfSandboxes(services.store, owner, query, metadataFilters(c));
  if (page.next !== undefined) c.header('X-Next-Cursor', page.next);
  return c.json(page.rows.map((row) => present(row, services)));
};

export const getSandbox: Handler<'idle' | 'installation' | 'publicUrl' | 'sandboxes' | 'tokens'> = async (
  c,
  services,
) => {
  const row = await services.sandboxes.get(callerOf(c).owner, sandboxId(c));
  return c.json(await presentWithToken(c, row, services));
};

export const deleteSandbox: Handler<'sandboxes'> = async (c, { sandboxes }) => {
  await sandboxes.kill(callerOf(c).owner, sandboxId(c));
  return c.body(null, 204);
};

export const setTimeout: Handler<'sandboxes'> = async (c, { sandboxes }) => {
  const { timeout } = await readJson(c, setTimeoutSchema);
  await sandboxes.setTimeout(callerOf(c).owner, sandboxId(c), timeout);
  return c.body(null, 204);
};
