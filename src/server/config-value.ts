/** Values that several parts of the configuration have. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
export const port = z.int().min(0).max(65535);
export const milliseconds = z.int().min(1000);
export const network = z.string().refine(isNetwork, 'write it as address/length, for example 10.0.0.0/8');
export const networks = z.array(network).default([]);

function isNetwork(text: string): boolean {
  return isIP(text) !== 0 || ipaddr.isValidCIDR(text);
}

/** Where to listen: names other than localhost could mean several addresses, or another tomorrow. */
export const listenAddress = z
  .string()
  .min(1)
  .refine(
    (text) => text === 'localhost' || isIP(text) !== 0,
    'write a numeric address of this machine, localhost, or 0.0.0.0 or :: for every interface',
  );

/** RFC 1123 §2.1, or a numeric address. */
export const hostName = z
  .string()
  .min(1)
  .max(253)
  .refine(
    (text) => isIP(text) !== 0 || /^[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63})*\.?$/i.test(text),
    'write a host name such as mail.example.com: letters, digits, hyphens and dots',
  );

/** Networks that are let in: all of them would be no limit. */
export const privateNetworks = z
  .array(network.refine((text) => !text.endsWith('/0'), 'this is every address; name the networks that are meant'))
  .default([]);
