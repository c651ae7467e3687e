package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"freeway/config"
	"freeway/internal/loopback"
)

// version is set by the linker; see the Makefile.
var version = ""

// app is one run of the program: its streams and the flags that all commands share.
type app struct {
	environ        []string // key=value; the last of several wins
	stdin          io.Reader
	stdout, stderr io.Writer
	started        bool // arguments and flags were understood
	ahead          int  // candidates that a scan reads ahead of its checks; tests make it small

	configPath, logLevel string
	quiet                bool
}

// lookup is a variable of the environment.
func (a *app) lookup(key string) (string, bool) {
	for _, pair := range slices.Backward(a.environ) {
		if name, value, ok := strings.Cut(pair, "="); ok && name == key {
			return value, true
		}
	}
	return "", false
}

// variables are the names of the environment.
func (a *app) variables() []string {
	var out []string
	for _, pair := range a.environ {
		name, _, _ := strings.Cut(pair, "=")
		out = append(out, name)
	}
	return out
}

// loopbackOnly is the variable that keeps every command from reaching anything
// but this machine: for tests, and for trying things out.
const loopbackOnly = "FREEWAY_LOOPBACK_ONLY"

// control has the last word on every connection; nil: there is no restriction.
func (a *app) control() func(network, address string, c syscall.RawConn) error {
	if v, ok := a.lookup(loopbackOnly); ok && v != "" && v != "0" && v != "false" {
		return loopback.Control
	}
	return nil
}

// note tells people what is going on; --quiet silences it.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// canMove reports whether w is a screen on which what was written can be
// written over.
func (a *app) canMove(w any) bool {
	kind, _ := a.lookup("TERM")
	return isTerminal(w) && kind != "dumb"
}

// isTerminal reports whether w shows on a screen. There are no colours
// anywhere, which is how NO_COLOR is honoured.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// loadOptions says where this run takes its configuration from.
func (a *app) loadOptions(flags []config.Flag) config.LoadOptions {
	path := a.configPath
	if path == "" {
		path = config.Find(a.lookup)
	}
	if a.logLevel != "" {
		flags = append(flags, config.Flag{Name: "--log-level", Path: "log.level", Value: a.logLevel})
	}
	return config.LoadOptions{Path: path, Lookup: a.lookup, Names: a.variables(), Flags: flags}
}

// loadRevealed is load for commands that use secrets: references are replaced.
func (a *app) loadRevealed(flags []config.Flag) (config.Config, error) {
	cfg, err := a.load(flags)
	if err == nil {
		_, err = config.NewSecrets(a.lookup).Resolve(&cfg, a.loadOptions(flags))
	}
	return cfg, err
}

// load reads the configuration. A wrong flag is wrong usage, a wrong file a failure.
func (a *app) load(flags []config.Flag) (config.Config, error) {
	cfg, err := config.Load(a.loadOptions(flags))
	var many config.Errors
	if errors.As(err, &many) && len(many) == 1 && strings.HasPrefix(many[0].Where, "--") {
		return cfg, usageError{err}
	}
	return cfg, err
}

// configFlag is a flag that sets one path of the configuration.
type configFlag struct {
	path, value, preset string
	set                 bool
}

// String returns the flag's value or, before it was set, the default.
func (f *configFlag) String() string {
	if f.set {
		return f.value
	}
	return f.preset
}

// Set notes the value; it is read together with the rest of the configuration.
func (f *configFlag) Set(s string) error {
	f.value, f.set = s, true
	return nil
}

// Type names the value in help texts.
func (f *configFlag) Type() string { return "value" }

// configFlags adds a flag for every path of the configuration, "--gateway.listen"
// for gateway.listen, and returns a function that lists those that were given.
func configFlags(flags *pflag.FlagSet) func() []config.Flag {
	var all []*configFlag
	for _, path := range config.Paths() {
		f := &configFlag{path: path, preset: config.Value(config.Default(), path)}
		flags.Var(f, path, config.Describe(path))
		if f.preset == "true" || f.preset == "false" {
			flags.Lookup(path).NoOptDefVal = "true"
		}
		all = append(all, f)
	}
	return func() []config.Flag {
		var given []config.Flag
		for _, f := range all {
			if f.set {
				given = append(given, config.Flag{Name: "--" + f.path, Path: f.path, Value: f.value})
			}
		}
		return given
	}
}

// group makes a command that only has commands below it.
func group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usagef("%q needs one of the commands below it", cmd.CommandPath())
		},
	}
	c.AddCommand(below...)
	return c
}

// strictHelp makes help about a command that is not there wrong usage.
func (a *app) strictHelp(root *cobra.Command) {
	root.SetHelpCommand(&cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  freeway help scan",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no command %q", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	})
}

// completionCommand makes "freeway completion".
func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print the completion script of a shell: bash, zsh, fish or powershell",
		Example:   "  source <(freeway completion bash)\n  freeway completion fish > ~/.config/fish/completions/freeway.fish",
		Args:      cobra.ExactArgs(1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			return usagef("%q is none of %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// versionCommand makes "freeway version".
func (a *app) versionCommand() *cobra.Command {
	var how reporting
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  freeway version\n  freeway version --format json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := how.check(); err != nil {
				return err
			}
			if how.format == "json" {
				return a.reportJSON(how, map[string]string{"version": versionText(), "go": goVersion()})
			}
			return a.write(how.output, fmt.Appendf(nil, "freeway %s %s\n", versionText(), goVersion()))
		},
	}
	how.flags(cmd, "text or json", "text", "json")
	return cmd
}

// versionText is the linker's word, else that of the build information.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// goVersion is what the binary was built with.
func goVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.GoVersion
	}
	return "go"
}

// output opens the file of --output, or stdout for "" and "-". The function
// returned closes it and reports what could not be written.
func (a *app) output(path string) (io.Writer, func() error, error) {
	if path == "" || path == "-" {
		return a.stdout, func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}
