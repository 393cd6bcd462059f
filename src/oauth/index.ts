/** `postern/oauth`: a consent, the grant it gives, access tokens from it, and what a refusal means (RFC 6749, 7636, 8628). */
export { Secret } from '../base/secret.ts';
export {
  diagnose,
  type Diagnosis,
  diagnoseReply,
  type Facts as DiagnosisFacts,
  remedyText,
} from './catalogue/diagnose.ts';
export type { DevicePrompt } from './engine.ts';
export {
  type Consent,
  type HeldGrant,
  type OAuthClient,
  type OAuthClientOptions,
  openOAuthClient,
  type OwnTokens,
} from './own-grants.ts';
