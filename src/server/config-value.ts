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
