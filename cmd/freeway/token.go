package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"freeway/internal/access"
)

// configToken makes "freeway config token".
func (a *app) configToken() *cobra.Command {
	role, name := access.Viewer, ""
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token for the admin API and the line of the configuration that lets it in",
		Long: `Make a random token and print it once, to stdout. The line for admin.tokens goes to
stderr: it holds only the hash, so the configuration gives no token away.
A viewer looks; an operator also changes proxies, sources, sessions and targets; an
admin also reloads and profiles.`,
		Example: "  freeway config token --name grafana --role viewer\n  freeway config token --name ci --role operator > ci.token",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if strings.TrimSpace(name) == "" {
				return usagef("--name: say whose token it is")
			}
			token := access.NewToken()
			if _, err := fmt.Fprintln(a.stdout, token); err != nil {
				return err
			}
			a.note("admin:\n  tokens:\n    - {name: %q, role: %s, hash: %q}", name, role, access.HashToken(token))
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "whose token it is; shown in the log")
	cmd.Flags().TextVar(&role, "role", role, "viewer, operator or admin")
	return cmd
}
