import { Hono } from 'hono';
import { createDeadLettersRoute, type DeadLettersDependencies } from './dead-letters.ts';
import { createEpochRoute, type EpochDependencies } from './epoch.ts';
import { createEraseRoute, type EraseDependencies } from './erase.ts';
import { createKeysRoute, type KeysDependencies } from './keys.ts';
import { createSchemasRoute, type SchemasDependencies } from './schemas.ts';

export type AdministrationDependencies = KeysDependencies &
  DeadLettersDependencies &
  EraseDependencies &
  SchemasDependencies &
  EpochDependencies;

/** What the admin may do, beside the settings of streams. */
export function createAdministration(dependencies: AdministrationDependencies): Hono {
  return new Hono()
    .route('/', createKeysRoute(dependencies))
    .route('/', createEpochRoute(dependencies))
    .route('/', createDeadLettersRoute(dependencies))
    .route('/', createEraseRoute(dependencies))
    .route('/', createSchemasRoute(dependencies));
}
