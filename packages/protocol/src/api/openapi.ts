import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import { z } from 'zod';
import { errorKinds, type ErrorCode } from '../errors.ts';
import { endpoints } from './endpoints.ts';
import type { Endpoint, Payload } from './endpoint.ts';
import { errorBodySchema } from './system.ts';
import { unsupportedFields } from './unsupported.ts';

const json = 'application/json';
const octets = 'application/octet-stream';
const binary = { [octets]: { schema: { type: 'string' as const, format: 'binary' } } };

function content(payload: Payload) {
  if (payload === 'none') return {};
  if (payload === 'bytes') return { content: binary };
  if (payload === 'events') return { content: { 'text/event-stream': { schema: z.string() } } };
  if (payload === 'text') return { content: { 'text/plain': { schema: z.string() } } };
  return { content: { [json]: { schema: payload } } };
}

function errorResponses(codes: readonly ErrorCode[]) {
  const byStatus = Map.groupBy(codes, (code) => errorKinds[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      String(status),
      {
        description: group.map((code) => `\`${code}\`: ${errorKinds[code].meaning}`).join(' '),
        content: { [json]: { schema: errorBodySchema } },
      },
    ]),
  );
}

const security = { key: [{ apiKey: [] }], data: [{ apiKey: [] }, { sandboxToken: [] }] };

function describe(id: string, endpoint: Endpoint): ZodOpenApiOperationObject {
  const names = [...endpoint.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
  const common: ErrorCode[] = endpoint.auth === 'none' ? [] : ['invalid_request', 'internal'];
  const authorized = endpoint.auth === 'key' || endpoint.auth === 'data';
  if (authorized) common.push('unauthorized');
  if (Object.hasOwn(unsupportedFields, id)) common.push('unsupported');
  const successes = Object.entries(endpoint.success).map(([status, payload]) => [
    status,
    { description: 'Success', ...content(payload) },
  ]);
  return {
    operationId: id,
    tags: [endpoint.tag],
    summary: endpoint.summary,
    ...(endpoint.description === undefined ? {} : { description: endpoint.description }),
    ...(authorized ? { security: security[endpoint.auth] } : {}),
    requestParams: {
      ...(names.length === 0
        ? {}
        : { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
      ...(endpoint.query === undefined ? {} : { query: endpoint.query }),
    },
    ...(endpoint.body === undefined
      ? {}
      : {
          requestBody: {
            content: endpoint.body === 'bytes' ? binary : { [json]: { schema: endpoint.body } },
          },
        }),
    responses: { ...errorResponses([...common, ...endpoint.errors]), ...Object.fromEntries(successes) },
  };
}

/** The OpenAPI 3.1 document of the public API, written from the table of endpoints. */
export function openApiDocument(version: string): object {
  const paths: ZodOpenApiPathsObject = {};
  for (const [id, endpoint] of Object.entries<Endpoint>(endpoints)) {
    const path = endpoint.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: describe(id, endpoint) };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'OpenComputer',
      version,
      description: 'Real computers for AI agents: create a Linux virtual machine, run commands, move files.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        sandboxToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
      },
    },
  });
}
