package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"freeway/gateway"
)

// proxyVariables are what programs read, in both spellings: curl wants
// http_proxy in lower case, others the upper.
var proxyVariables = []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}

// noProxy are the hosts that are reached directly: this machine.
const noProxy = "localhost,127.0.0.1,::1"

// shells say how each shell sets and removes a variable.
var shells = map[string]struct{ set, unset string }{
	"sh":         {"export %s=%s\n", "unset %s\n"},
	"fish":       {"set -gx %s %s\n", "set -e %s\n"},
	"powershell": {"$Env:%s = %s\n", "Remove-Item Env:%s -ErrorAction SilentlyContinue\n"},
}

// envCommand makes "freeway env".
func (a *app) envCommand() *cobra.Command {
	var shell, user string
	var unset bool
	var how reporting
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the variables that send other programs through the gateway",
		Long: `Print HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY for a shell to evaluate. The
gateway is that of the configuration; --user adds a user name with choices. Passwords
are not printed: give one as --user NAME:PASSWORD if the gateway asks for it.`,
		Example: "  eval \"$(freeway env)\"\n  eval \"$(freeway env --user any-country-de-session-a1)\"\n  eval \"$(freeway env --unset)\"\n  freeway env --shell fish | source",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := how.check(); err != nil {
				return err
			}
			return a.env(shell, user, unset, how)
		},
	}
	cmd.Flags().StringVar(&shell, "shell", "sh", "sh (also bash and zsh), fish or powershell")
	cmd.Flags().StringVar(&user, "user", "", "user `name` with choices, as the gateway takes it")
	how.flags(cmd, "shell (as --shell says), dotenv for files such as .env, or json", "shell", "dotenv", "json")
	cmd.Flags().BoolVar(&unset, "unset", false, "print what removes the variables again")
	return cmd
}

// env prints the variables.
func (a *app) env(shell, user string, unset bool, out reporting) error {
	if shell == "bash" || shell == "zsh" {
		shell = "sh"
	}
	how, ok := shells[shell]
	if !ok {
		return usagef("--shell %q is none of sh, bash, zsh, fish and powershell", shell)
	}
	if unset && out.format != "shell" {
		return usagef("--unset is for shells; leave --format %s away", out.format)
	}
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	u := url.URL{Scheme: "http", Host: reachable(cfg.Gateway.Listen)}
	if name, password, has := strings.Cut(user, ":"); user != "" {
		if _, _, err := gateway.ParseUser(name); err != nil {
			return usagef("--user: %w", err)
		}
		u.User = url.User(name)
		if has {
			u.User = url.UserPassword(name, password)
		}
	}
	values := map[string]string{"no_proxy": noProxy, "NO_PROXY": noProxy}
	for _, name := range proxyVariables {
		values[name] = u.String()
	}
	if out.format == "json" {
		return a.reportJSON(out, values)
	}
	var text strings.Builder
	for _, name := range append(slices.Clone(proxyVariables), "no_proxy", "NO_PROXY") {
		switch {
		case out.format == "dotenv":
			fmt.Fprintf(&text, "%s=%s\n", name, values[name]) // no value has a space or a quote in it
		case unset:
			fmt.Fprintf(&text, how.unset, name)
		default:
			fmt.Fprintf(&text, how.set, name, shellQuote(shell, values[name]))
		}
	}
	return a.write(out.output, []byte(text.String()))
}

// shellQuote makes a word of which the shell changes nothing.
func shellQuote(shell, s string) string {
	switch shell {
	case "fish":
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `\'`)
	case "powershell":
		s = strings.ReplaceAll(s, `'`, `''`)
	default:
		s = strings.ReplaceAll(s, `'`, `'\''`)
	}
	return "'" + s + "'"
}
