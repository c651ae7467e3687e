// Package config is the configuration file: the sum of the packages' Config
// structs, loaded, checked, shown and watched.
//
// A value comes from, in this order, a flag, an environment variable
// (FREEWAY_ and the path in capitals, for example FREEWAY_GATEWAY_LISTEN), the
// file, or the default. All mistakes are reported at once, each with its place
// and its path. Nothing here dials, listens or logs.
package config
