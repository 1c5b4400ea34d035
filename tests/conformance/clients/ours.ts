import { Sandbox } from '../../../packages/sdk/src/index.ts';
import type { Client } from './client.ts';

export const ours: Client = {
  name: 'ours',
  create: (options) => Sandbox.create(options),
  connect: (sandboxId, options) => Sandbox.connect(sandboxId, options),
};
