import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import { z } from 'zod';
import { errorKinds, type ErrorCode } from '../errors.ts';
import { operations } from './operations.ts';
import type { Operation, Payload } from './operation.ts';
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

function describe(id: string, operation: Operation): ZodOpenApiOperationObject {
  const names = [...operation.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
  const common: ErrorCode[] = operation.auth === 'none' ? [] : ['invalid_request', 'internal'];
  const authorized = operation.auth === 'key' || operation.auth === 'data';
  if (authorized) common.push('unauthorized');
  if (Object.hasOwn(unsupportedFields, id)) common.push('unsupported');
  const successes = Object.entries(operation.success).map(([status, payload]) => [
    status,
    { description: 'Success', ...content(payload) },
  ]);
  return {
    operationId: id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(operation.description === undefined ? {} : { description: operation.description }),
    ...(authorized ? { security: security[operation.auth] } : {}),
    requestParams: {
      ...(names.length === 0
        ? {}
        : { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
      ...(operation.query === undefined ? {} : { query: operation.query }),
    },
    ...(operation.body === undefined
      ? {}
      : {
          requestBody: {
            content: operation.body === 'bytes' ? binary : { [json]: { schema: operation.body } },
          },
        }),
    responses: { ...errorResponses([...common, ...operation.errors]), ...Object.fromEntries(successes) },
  };
}

/** The OpenAPI 3.1 document of the public API, written from the operations table. */
export function openApiDocument(version: string): object {
  const paths: ZodOpenApiPathsObject = {};
  for (const [id, operation] of Object.entries<Operation>(operations)) {
    const path = operation.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(id, operation) };
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
