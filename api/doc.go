// Package api is the REST admin API over the pool and the scraper, and the
// health, metrics and profiling endpoints beside it.
//
// Operations are declared in code (huma on chi), so the OpenAPI document at
// /api/openapi.json always describes what runs. Errors are RFC 9457 problem
// documents. Who may ask is decided by internal/access before any routing.
package api
