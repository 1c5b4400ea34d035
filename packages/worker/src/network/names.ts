/** Names of everything that one installation makes on its host; all contain the instance tag. */
export interface Names {
  bridge: string;
  /** nftables table on the host, family inet. */
  table: string;
  /** Host end of a slot's veth pair. At most 15 characters, the kernel's limit. */
  link: (index: number) => string;
  namespace: (index: number) => string;
  /** The slot index in the name of a namespace or a link; undefined where it belongs to another instance. */
  indexOf: (name: string) => number | undefined;
}

/** Where `ip netns` keeps named namespaces. */
export const namespaceDirectory = '/run/netns';

/** @throws RangeError when the tag is not eight lower-case hexadecimal digits. */
export function namesFor(instanceTag: string): Names {
  if (!/^[0-9a-f]{8}$/.test(instanceTag)) {
    throw new RangeError(`instance tag "${instanceTag}" must be eight lower-case hexadecimal digits`);
  }
  const pattern = new RegExp(`^oc-?${instanceTag}-(0|[1-9][0-9]{0,3})$`);
  return {
    bridge: `oc${instanceTag}`,
    table: `oc_${instanceTag}`,
    link: (index) => `oc${instanceTag}-${index}`,
    namespace: (index) => `oc-${instanceTag}-${index}`,
    indexOf: (name) => {
      const found = pattern.exec(name)?.[1];
      return found === undefined ? undefined : Number(found);
    },
  };
}
