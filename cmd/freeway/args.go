package main

import (
	"fmt"
	"slices"
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
	cmd.SuggestionsMinimumDistance = min(2, len(name)/2) // of three letters, two changed are another word
	err := fmt.Errorf("unknown command %q for %q", name, cmd.CommandPath())
	near := cmd.SuggestionsFor(name)
	whole := func(s string) bool { return strings.HasPrefix(s, name) }
	if slices.ContainsFunc(near, whole) { // it was cut short
		near = slices.DeleteFunc(near, func(s string) bool { return !whole(s) })
	}
	if len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return usageError{err}
}
