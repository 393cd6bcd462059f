/** RFC 5322 §3.3: `Sat, 21 Nov 2026 16:36:06 +0000`. @param at milliseconds since the epoch */
export function mailDate(at: number): string {
  return new Date(at).toUTCString().replace('GMT', '+0000');
}
