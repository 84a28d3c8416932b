// The plain script file: `<script src="…/tidemark.js">` gives a page `tidemark.createClient` and `tidemark.captureAutomatically`.
export { captureAutomatically } from './auto.ts';
export { createClient } from './index.ts';
