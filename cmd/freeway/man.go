package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// manCommand makes "freeway man".
func (a *app) manCommand() *cobra.Command {
	var dir, output string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print the manual page of a command, or write all of them",
		Example: "  freeway man scan | man -l -\n  freeway man config check\n" +
			"  freeway man --dir /usr/local/share/man/man1",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			at, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []cobra.Completion
			for _, c := range at.Commands() {
				if !c.IsAvailableCommand() {
					continue
				}
				names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "write to this `FILE` instead of stdout")
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this `folder`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		root := cmd.Root()
		if dir != "" {
			return a.manTree(root, dir, args)
		}
		at, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return usagef("there is no command %q", strings.Join(args, " "))
		}
		return a.write(output, manPage(at))
	}
	return cmd
}

// manTree writes all pages.
func (a *app) manTree(root *cobra.Command, dir string, args []string) error {
	if len(args) > 0 {
		return usagef("--dir writes the pages of all commands; leave %q away", strings.Join(args, " "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeManPages(root, dir); err != nil {
		return err
	}
	a.note("wrote the manual pages to %s", dir)
	return nil
}

// writeManPages writes the page of a command and of all below it.
func writeManPages(cmd *cobra.Command, dir string) error {
	if err := os.WriteFile(filepath.Join(dir, manName(cmd)+".1"), manPage(cmd), 0o644); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if !hasPage(c) {
			continue
		}
		if err := writeManPages(c, dir); err != nil {
			return err
		}
	}
	return nil
}
