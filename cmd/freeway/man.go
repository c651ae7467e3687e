package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand makes "freeway man".
func (a *app) manCommand() *cobra.Command {
	var dir string
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
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this `folder`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		root := cmd.Root()
		root.DisableAutoGenTag = true // the same pages from the same source
		if dir != "" {
			return a.manTree(root, dir, args)
		}
		at, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return usagef("there is no command %q", strings.Join(args, " "))
		}
		page, err := manPage(at)
		if err == nil {
			_, err = a.stdout.Write(page)
		}
		return err
	}
	return cmd
}

// manHeader is the same for all pages.
func manHeader() *doc.GenManHeader {
	return &doc.GenManHeader{Section: "1", Source: "Freeway " + versionText(), Manual: "Freeway"}
}

// manPage makes the page of one command.
func manPage(cmd *cobra.Command) ([]byte, error) {
	var b bytes.Buffer
	if err := doc.GenMan(cmd, manHeader(), &b); err != nil {
		return nil, fmt.Errorf("manual page of %s: %w", cmd.CommandPath(), err)
	}
	return b.Bytes(), nil
}

// manTree writes all pages.
func (a *app) manTree(root *cobra.Command, dir string, args []string) error {
	if len(args) > 0 {
		return usagef("--dir writes the pages of all commands; leave %q away", strings.Join(args, " "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := doc.GenManTree(root, manHeader(), dir); err != nil {
		return err
	}
	a.note("wrote the manual pages to %s", dir)
	return nil
}
