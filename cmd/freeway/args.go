package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// plainArgs makes every command say what to write when the number of its
// arguments is wrong, and which command a misspelt one was probably meant to be.
func plainArgs(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		plainArgs(below)
	}
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case cmd.HasSubCommands() && len(args) > 0:
			return unknownCommand(cmd, args[0])
		}
		given := fmt.Sprintf("%d arguments are given", len(args))
		if len(args) == 1 {
			given = fmt.Sprintf("one argument is given, %q", args[0])
		}
		return fmt.Errorf("%s; write %s", given, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
}

// unknownCommand is the error for a command that is not there.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	err := fmt.Errorf("unknown command %q for %q", name, cmd.CommandPath())
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return usageError{err}
}
