/** Why the embedded Postgres did not start. */
export type EmbeddedPostgresErrorCode =
  | 'unsupported_platform'
  | 'binaries_missing'
  | 'binaries_unusable'
  | 'cannot_run_as_user'
  | 'data_dir_in_use'
  | 'data_dir_unusable'
  | 'data_missing'
  | 'data_version_mismatch'
  | 'password_missing'
  | 'port_unavailable'
  | 'start_failed';

/** A failure of the embedded Postgres; the message says what happened and what to do. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode;

  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}
