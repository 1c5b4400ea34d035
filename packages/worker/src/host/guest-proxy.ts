import { HostError } from './errors.ts';

/** The proxy that guests use, from settings of the same names. */
export interface GuestProxy {
  OPENCOMPUTER_GUEST_HTTP_PROXY?: string | undefined;
  OPENCOMPUTER_GUEST_HTTPS_PROXY?: string | undefined;
  OPENCOMPUTER_GUEST_NO_PROXY?: string | undefined;
}

const urls = ['OPENCOMPUTER_GUEST_HTTP_PROXY', 'OPENCOMPUTER_GUEST_HTTPS_PROXY'] as const;
const noProxy = 'OPENCOMPUTER_GUEST_NO_PROXY';
/** Hosts that never need a proxy: servers in the sandbox itself. */
const ownNames = 'localhost,127.0.0.1,::1';
/** The characters that a line of /etc/environment can hold. */
const plain = /^[!$-&(-[\]-~]+$/;

/**
 * The variables by which programs of a guest find the proxy; none without the settings.
 * @throws HostError that names the setting that is wrong, but not its value, which may hold a password
 */
export function proxyVariables(proxy: GuestProxy): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const setting of urls) {
    const url = proxy[setting];
    if (url === undefined) continue;
    checkUrl(setting, url);
    set(variables, setting, url);
  }
  const hosts = proxy[noProxy];
  if (Object.keys(variables).length === 0) {
    if (hosts !== undefined)
      throw new HostError(`${noProxy} is set without a proxy`, `Set one of ${urls.join(', ')}.`);
    return {};
  }
  if (hosts !== undefined && !plain.test(hosts))
    throw new HostError(
      `${noProxy} holds spaces, quotes or other characters that no name of a host has`,
      'It must be names and addresses with commas between them, such as localhost,.example.com.',
    );
  set(variables, noProxy, hosts === undefined ? ownNames : `${ownNames},${hosts}`);
  // Node.js uses the other variables only when this one is set.
  variables['NODE_USE_ENV_PROXY'] = '1';
  return variables;
}

/** Some programs read only one of the two spellings. */
function set(variables: Record<string, string>, setting: string, value: string): void {
  const name = setting.replace('OPENCOMPUTER_GUEST_', '');
  variables[name] = value;
  variables[name.toLowerCase()] = value;
}

function checkUrl(setting: string, text: string): void {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && plain.test(text) && !/[#?]/.test(text)) return;
  throw new HostError(
    `${setting} is no address of a proxy`,
    'It must be a URL such as http://proxy.example.com:3128; other characters of a name or password as %XX.',
  );
}
