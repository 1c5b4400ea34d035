import type { Hono } from 'hono';
import { ApiError } from '@opencomputer/protocol';
import type { ClientPackage, ClientPackages } from '../clients.ts';
import type { ApiContext, ApiEnv, Services } from './context.ts';
import { publicBase } from './public-url.ts';

const text = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
/** Names that stay from version to version. pip takes no wheel without its version in the name, hence a list. */
const stableNpm = 'opencomputer-sdk.tgz';
const stableOc = 'opencomputer-cli.tgz';
const stablePip = 'python.txt';

/** Hands out the clients of this very version, to anybody: no key, and nothing but what was built with the server. */
export function serveClients(
  app: Hono<ApiEnv>,
  { clients, publicUrl, version }: Pick<Services, 'clients' | 'publicUrl' | 'version'>,
): void {
  const { npm, oc, wheel } = clients;
  const base = (c: ApiContext): string => `${publicBase(c, publicUrl)}/sdk`;
  const addressOf = (c: ApiContext, { fileName, sha256 }: ClientPackage): string =>
    `${base(c)}/${fileName}#sha256=${sha256}`;

  app.get('/sdk', (c) => {
    c.set('route', '/sdk');
    return c.body(page(base(c), version, clients), 200, text);
  });
  app.get('/sdk/:file', (c) => {
    c.set('route', '/sdk/:file');
    const file = c.req.param('file');
    if (file === stablePip && wheel !== undefined) return c.body(`${addressOf(c, wheel)}\n`, 200, text);
    if (npm !== undefined && (file === stableNpm || file === npm.fileName)) return send(c, npm);
    if (oc !== undefined && (file === stableOc || file === oc.fileName)) return send(c, oc);
    if (wheel !== undefined && file === wheel.fileName) return send(c, wheel);
    throw new ApiError('not_found', `there is no client ${file.slice(0, 128)} here`, {
      hint:
        npm === undefined || oc === undefined || wheel === undefined
          ? 'The clients have not been built on this host: run "npm run build" there, and start the server again.'
          : `GET ${base(c)} says which there are.`,
    });
  });
}

function send(c: ApiContext, { content, sha256, contentType }: ClientPackage): Response {
  const headers = { etag: `"${sha256}"`, 'cache-control': 'no-cache' };
  const known = c.req.header('if-none-match')?.split(',') ?? [];
  if (known.some((tag) => tag.trim().replace(/^W\//, '') === headers.etag)) return c.body(null, 304, headers);
  return c.body(content, 200, {
    ...headers,
    'content-type': contentType,
    'content-length': String(content.length),
    'x-content-type-options': 'nosniff',
  });
}

function page(base: string, version: string, { npm, oc, wheel }: ClientPackages): string {
  const missing = '(not built on this host: run "npm run build" there, and start the server again)';
  return `The clients of this OpenComputer server, version ${version}. They need no key to be installed.

JavaScript and TypeScript (Node.js 20 or newer):

  ${npm === undefined ? missing : `npm install ${base}/${npm.fileName}`}

Python (3.10 or newer):

  ${wheel === undefined ? missing : `pip install ${base}/${wheel.fileName}`}

The command line, oc (Node.js 20 or newer):

  ${oc === undefined ? missing : `npm install -g ${base}/${oc.fileName}`}

The same by addresses that stay from version to version:

  npm install ${base}/${stableNpm}
  pip install -r ${base}/${stablePip}
  npm install -g ${base}/${stableOc}

Do not install them by name: "@opencomputer/sdk" on npm and "opencomputer-sdk" on PyPI are packages of another
project. Without OPENCOMPUTER_API_URL they send your key to that project's address.
`;
}
