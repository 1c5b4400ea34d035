import { Hono } from 'hono';
import { ApiError, noBodySchema, type Endpoint, type EndpointId, endpoints } from '@opencomputer/protocol';
import { presentedKey } from '../auth/presented-key.ts';
import * as agents from './agents.ts';
import * as checkpoints from './checkpoints.ts';
import { serveClients } from './clients.ts';
import { type ApiContext, type ApiEnv, type Handler, type Services } from './context.ts';
import { docsPage, openApiText } from './docs.ts';
import { toApiError } from '../http/errors.ts';
import * as exec from './exec.ts';
import * as files from './files.ts';
import * as forks from './forks.ts';
import { checkParameters, readJson } from './input.ts';
import * as lifecycle from './lifecycle.ts';
import { readLogs } from './logs.ts';
import { observe } from './observe.ts';
import * as sandboxes from './sandboxes.ts';
import * as sessions from './sessions.ts';
import * as signedFiles from './signed-files.ts';
import * as system from './system.ts';
import * as terminals from './terminals.ts';
import { refreshToken } from './tokens.ts';

/** Every endpoint of the contract has a handler here: the type sees to it. */
const handlers: Record<EndpointId, Handler<keyof Services>> = {
  createSandbox: sandboxes.createSandbox,
  listSandboxes: sandboxes.listSandboxes,
  getSandbox: sandboxes.getSandbox,
  deleteSandbox: sandboxes.deleteSandbox,
  setTimeout: sandboxes.setTimeout,
  hibernateSandbox: lifecycle.hibernateSandbox,
  wakeSandbox: lifecycle.wakeSandbox,
  rebootSandbox: lifecycle.rebootSandbox,
  powerCycleSandbox: lifecycle.powerCycleSandbox,
  listEvents: lifecycle.events,
  forkCheckpoint: forks.forkCheckpoint,
  forkSandbox: forks.forkSandbox,
  createCheckpoint: checkpoints.createCheckpoint,
  listCheckpoints: checkpoints.listCheckpoints,
  deleteCheckpoint: checkpoints.deleteCheckpoint,
  restoreCheckpoint: checkpoints.restoreCheckpoint,
  publishCheckpoint: checkpoints.publishCheckpoint,
  unpublishCheckpoint: checkpoints.unpublishCheckpoint,
  listAllCheckpoints: checkpoints.listAllCheckpoints,
  createPatch: checkpoints.createPatch,
  listPatches: checkpoints.listPatches,
  deletePatch: checkpoints.deletePatch,
  runCommand: exec.runCommand,
  runCommandAsync: exec.runCommandAsync,
  getCommandResult: exec.getCommandResult,
  createSession: sessions.createSession,
  listSessions: sessions.listSessions,
  killSession: sessions.killSession,
  resizeSession: sessions.resizeSession,
  createTerminal: terminals.createTerminal,
  listTerminals: terminals.listTerminals,
  resizeTerminal: sessions.resizeSession,
  killTerminal: terminals.killTerminal,
  startAgent: agents.startAgent,
  listAgents: agents.listAgents,
  promptAgent: agents.promptAgent,
  interruptAgent: agents.interruptAgent,
  killAgent: agents.killAgent,
  readLogs,
  refreshToken,
  readFile: files.readFile,
  writeFile: files.writeFile,
  deleteFile: files.deleteFile,
  listFiles: files.listFiles,
  makeDirectory: files.makeDirectory,
  signDownload: signedFiles.signDownload,
  signUpload: signedFiles.signUpload,
  signedDownload: signedFiles.signedDownload,
  signedUpload: signedFiles.signedUpload,
  health: system.health,
  alive: system.alive,
  readiness: system.readiness,
  metrics: system.metrics,
};

/** What a request shows to say who makes it. */
function presented({ req }: ApiContext): string | undefined {
  return presentedKey({ header: (name) => req.header(name), query: (name) => req.query(name) });
}

/** The HTTP API, routed by the table of endpoints. */
export function createApp(services: Services): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const { log } = services;
  app.use(observe(services));
  const methods = new Map<string, string[]>();
  for (const [id, endpoint] of Object.entries<Endpoint>(endpoints)) {
    const handle = handlers[id as EndpointId];
    methods.set(endpoint.path, [...(methods.get(endpoint.path) ?? []), endpoint.method]);
    app.on(endpoint.method, endpoint.path, async (c) => {
      c.set('route', endpoint.path);
      const reach = endpoint.auth === 'data' ? { sandboxId: c.req.param('id') ?? '' } : ('account' as const);
      if (endpoint.auth === 'key' || endpoint.auth === 'data')
        c.set('caller', await services.authenticator.verify(presented(c), reach));
      c.set('endpoint', id as EndpointId);
      if (endpoint.auth !== 'none') checkParameters(c, endpoint);
      if (endpoint.body === undefined && endpoint.method !== 'GET') await readJson(c, noBodySchema);
      return handle(c, services);
    });
  }
  let document: string | undefined;
  app.get('/openapi.json', (c) => {
    document ??= openApiText(services.version);
    return c.body(document, 200, { 'content-type': 'application/json' });
  });
  serveClients(app, services);
  app.get('/docs', (c) => c.body(docsPage.html, 200, docsPage.headers));
  for (const [path, allowed] of methods)
    app.all(path, (c) => {
      c.set('route', path);
      c.header('allow', allowed.join(', '));
      throw new ApiError('method_not_allowed', `${c.req.method} is not possible here`, {
        hint: `Possible: ${allowed.join(', ')}.`,
      });
    });
  app.notFound(() => {
    throw new ApiError('not_found', 'there is no such route');
  });
  app.onError((error, c) => {
    const requestId = c.get('requestId');
    const told = toApiError(error, log, requestId);
    return c.json(told.toBody(requestId), told.status as 500);
  });
  return app;
}
