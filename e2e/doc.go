// Package e2e holds tests only: they build the command and drive it as a user
// would, with real programs of others on both sides where these are installed.
package e2e
