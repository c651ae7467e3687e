package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// reporting is how a command prints its result, and where to: --format, the
// first of which is the default, and --output.
type reporting struct {
	formats        []string
	format, output string
}

// flags adds both flags to a command. help says what the formats are.
func (r *reporting) flags(cmd *cobra.Command, help string, formats ...string) {
	r.formats = formats
	cmd.Flags().StringVar(&r.format, "format", formats[0], help)
	cmd.Flags().StringVar(&r.output, "output", "", "write to this `FILE` instead of stdout")
}

// check refuses other formats; it is for the start of the command.
func (r *reporting) check() error {
	if slices.Contains(r.formats, r.format) {
		return nil
	}
	return usagef("--format %q is not one of %s", r.format, strings.Join(r.formats, ", "))
}

// tables adds the flags for a table or JSON.
func (r *reporting) tables(cmd *cobra.Command) { r.flags(cmd, "table or json", "table", "json") }

// onScreen reports whether the table goes to a terminal.
func (a *app) onScreen(r reporting) bool { return r.output == "" && isTerminal(a.stdout) }

// report prints rows as a table, or value as JSON.
func (a *app) report(r reporting, rows [][]string, value any) error {
	var text bytes.Buffer
	if r.format == "json" {
		return a.reportJSON(r, value)
	}
	if err := columns(&text, rows); err != nil {
		return err
	}
	return a.write(r.output, text.Bytes())
}

// reportJSON prints a value as JSON.
func (a *app) reportJSON(r reporting, value any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err
	}
	return a.write(r.output, text.Bytes())
}
