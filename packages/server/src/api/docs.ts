import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openApiDocument } from '@opencomputer/protocol';

const page = readFileSync(join(import.meta.dirname, 'docs.html'), 'utf8');

function hashOf(tag: 'script' | 'style'): string {
  const content = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(page)?.[1] ?? '';
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}

/** The page that shows the document, with the headers that let it do only that. */
export const docsPage = {
  html: page,
  headers: {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': `default-src 'none'; connect-src 'self'; script-src ${hashOf('script')}; style-src ${hashOf('style')}; base-uri 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  },
};

/** The OpenAPI document as text. */
export function openApiText(version: string): string {
  return JSON.stringify(openApiDocument(version), undefined, 2);
}
