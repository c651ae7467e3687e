// Command freeway turns public free-proxy lists into one dependable proxy.
//
// Results go to stdout, everything else to stderr. The exit code is 0 when it
// is done, 1 when it failed and 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/internal/tune"
)

func main() {
	untune := func() {}
	switch commandIn(os.Args[1:]) { // those with many connections
	case "serve", "demo":
		untune = tune.Server()
	case "scan":
		tune.Scan()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	untune()
	os.Exit(code) // 0 done, 1 failed, 2 wrong usage
}

// commandIn is the command that the arguments name, whatever flags come before it; "" for none.
func commandIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	if !strings.HasPrefix(args[0], "-") { // to look for it takes 8 ms
		return args[0]
	}
	cmd, _, err := (&app{}).rootCommand().Find(args)
	if err != nil || !cmd.HasParent() || cmd.Parent().HasParent() { // none, or one below another
		return ""
	}
	return cmd.Name()
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the whole program with everything it takes from outside as arguments;
// environ is in the form "key=value".
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{environ: environ, stdin: stdin, stdout: stdout, stderr: stderr, ahead: feedAhead}
	return a.run(ctx, args)
}

// run executes what the arguments say and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.strictHelp(root)
	plainArgs(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var usage usageError
	if !a.started || errors.As(err, &usage) {
		fmt.Fprintf(a.stderr, "freeway: %s; %q shows how to use it\n", oneLine(err), cmd.CommandPath()+" --help")
		return exitUsage
	}
	a.complain(err)
	return exitFailed
}

// usageError is wrong usage that only the command itself could find.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (u usageError) Unwrap() error { return u.error }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errQuiet ends a command with exit code 1 when everything has been said.
var errQuiet = errors.New("failed")

// complain prints an error, a line for each mistake.
func (a *app) complain(err error) {
	var many config.Errors
	switch {
	case errors.Is(err, errQuiet):
	case errors.As(err, &many):
		for _, e := range many {
			fmt.Fprintf(a.stderr, "freeway: %s\n", e.Error())
		}
	default:
		fmt.Fprintf(a.stderr, "freeway: %s\n", oneLine(err))
	}
}

// oneLine keeps foreign text from breaking out of its line.
func oneLine(err error) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(err.Error()))
}

// rootCommand makes the command with everything below it.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "freeway",
		Short: "Turn public proxy lists into one dependable proxy",
		Long: `Freeway pulls public proxy lists, checks every entry, scores it, and serves one
proxy that rotates every request over the entries that work.

Free proxies are run by strangers: they see everything that is not encrypted.`,
		Example:       "  freeway demo\n  freeway serve\n  freeway scan proxies.txt",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(*cobra.Command, []string) error { return usagef("no command given") },
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "", "configuration `file` (default ./freeway.yaml, else freeway/freeway.yaml in $XDG_CONFIG_HOME)")
	flags.StringVar(&a.logLevel, "log-level", "", "`level` of the log: debug, info, warn or error (default info)")
	flags.BoolVar(&a.quiet, "quiet", false, "no progress and no notes on stderr, only errors")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.serveCommand(), a.demoCommand(), a.scanCommand(), a.scrapeCommand(), a.getCommand(), a.sourcesCommand(),
		a.explainCommand(), a.judgeCommand(), a.labCommand(), a.configCommand(), a.storeCommand(), a.geoCommand(), a.doctorCommand(),
		a.healthcheckCommand(), a.topCommand(), a.envCommand(), a.manCommand(), a.versionCommand(), a.completionCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	a.complete(root)
	return root
}
