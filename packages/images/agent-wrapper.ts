import { chmod, copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from './command.ts';
import { folderParts } from './key.ts';
import { recipeDir, repositoryDir } from './paths.ts';
import type { CommandContext } from './command.ts';
import type { KeyPart } from './key.ts';

const sources = path.join(recipeDir, 'claude-agent-wrapper');
const compiler = path.join(repositoryDir, 'node_modules/typescript/bin/tsc');
const launcher = 'claude-agent-wrapper';

/** What the wrapper of agent sessions is made from. */
export function agentWrapperParts(): KeyPart[] {
  return folderParts(sources, (file) => !file.endsWith('.test.ts')).map(({ name, content }) => ({
    name: `claude-agent-wrapper/${name}`,
    content,
  }));
}

/** Compiles the wrapper for the guest's Node into a directory, its launcher beside the modules. */
export async function buildAgentWrapper(context: CommandContext, dir: string): Promise<void> {
  await runCommand(context, process.execPath, [compiler, '-p', sources, '--outDir', dir]);
  await writeFile(path.join(dir, 'package.json'), '{ "type": "module" }\n');
  await copyFile(path.join(sources, launcher), path.join(dir, launcher));
  await chmod(path.join(dir, launcher), 0o755);
}
