import { ApiError } from '../errors.ts';
import type { EndpointId } from './endpoints.ts';

const secretStore =
  'There are no secret stores, and so no list of allowed hosts. Give values with envs where the sandbox may read them.';
const image = 'Images are not built yet: create from "base", install what you need, and fork its checkpoint.';
const snapshot =
  'There are no named snapshots yet: fork a checkpoint with POST /api/sandboxes/from-checkpoint/:cid.';
const previewAuth = 'There are no preview URLs yet, and so nothing to protect.';
const webhooks = 'There are no webhooks yet: GET /api/sandboxes/:id/events says what happened.';
const burst = 'There is one kind of sandbox.';
const mounts = 'Nothing can be mounted through the API yet; copy files, or mount within the sandbox.';
const network = 'The network policy is that of the installation: the internet, and no private addresses.';
const ofCheckpoint = 'A fork has the template, CPUs, memory and disk of its checkpoint: leave it out.';

/** Fields of creates and forks. */
const ofNewSandboxes = {
  secretStore,
  image,
  snapshot,
  previewAuth,
  webhooks,
  burst,
  sandboxFamily: burst,
  mounts,
  alias: 'Sandboxes have ids alone: give it a name of your own with metadata.',
  port: 'There are no preview URLs yet, and so no port to show.',
  networkEnabled: network,
  egressAllowlist: network,
  secretAllowedHosts: secretStore,
  imageRef: image,
  cellId: 'There is one host.',
} as const;

const ofForks = {
  ...ofNewSandboxes,
  templateID: ofCheckpoint,
  cpuCount: ofCheckpoint,
  memoryMB: ofCheckpoint,
  diskMB: ofCheckpoint,
} as const;

/**
 * Fields that clients of this API may know and that do not exist here yet, by endpoint, each with what to do instead. A
 * request with one of them is refused: a sandbox without the requested secret store, image or network policy would not
 * be what was requested. A field that is built is removed from this table; a test checks every entry.
 */
export const unsupportedFields: Readonly<Partial<Record<EndpointId, Readonly<Record<string, string>>>>> = {
  createSandbox: ofNewSandboxes,
  forkCheckpoint: ofForks,
  forkSandbox: ofForks,
  deleteSandbox: { deleteSecretStore: 'There are no secret stores, and so none to delete: leave it out.' },
};

/**
 * Query parameters that every endpoint accepts: published clients send their credential there for WebSockets, and some
 * of them for requests, too.
 */
export const credentialParameters: readonly string[] = ['api_key', 'token'];

/** @throws ApiError `unsupported` when one of the names is a field that does not exist yet. */
export function refuseUnsupported(endpoint: EndpointId, names: readonly string[]): void {
  const fields = unsupportedFields[endpoint] ?? {};
  const name = names.find((each) => Object.hasOwn(fields, each));
  if (name === undefined) return;
  throw new ApiError('unsupported', `${name} is not supported by this version`, {
    hint: fields[name] ?? '',
    details: { field: name },
  });
}
