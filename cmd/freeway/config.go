package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"freeway/config"
)

// configCommand makes "freeway config".
func (a *app) configCommand() *cobra.Command {
	return group("config", "Write, check or show the configuration", "  freeway config init freeway.yaml\n  freeway config check\n  freeway config show",
		a.configInit(), a.configCheck(), a.configShow(), a.configToken())
}

// configInit makes "freeway config init".
func (a *app) configInit() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "init [FILE]",
		Short:   "Print a commented file with all defaults, or write it to FILE",
		Example: "  freeway config init > freeway.yaml\n  freeway config init /etc/freeway/freeway.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := fmt.Fprint(a.stdout, config.InitText())
				return err
			}
			return a.writeNew(args[0], config.InitText(), force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	return cmd
}

// writeNew writes a file that only its owner reads, as it will hold secrets.
func (a *app) writeNew(path, text string, force bool) error {
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, mode, 0o600)
	if os.IsExist(err) {
		return fmt.Errorf("%s exists already; --force overwrites it", path)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	a.note("wrote %s", path)
	return nil
}

// configCheck makes "freeway config check".
func (a *app) configCheck() *cobra.Command {
	return a.withConfig(&cobra.Command{
		Use:     "check [FILE]",
		Short:   "Report every mistake in the configuration, and files it names that cannot be read",
		Example: "  freeway config check freeway.yaml",
		Args:    cobra.MaximumNArgs(1),
	}, func(cfg config.Config, from config.LoadOptions) error {
		if err := config.CheckFiles(cfg, from); err != nil {
			return err
		}
		if err := a.reportCertificates(cfg, time.Now()); err != nil {
			return err
		}
		where := a.loadOptions(nil).Path
		if where == "" {
			where = "no file, only defaults"
		}
		_, err := fmt.Fprintf(a.stdout, "ok: %s\n", where)
		return err
	})
}

// configShow makes "freeway config show".
func (a *app) configShow() *cobra.Command {
	var how reporting
	cmd := a.withConfig(&cobra.Command{
		Use:     "show [FILE]",
		Short:   "Print the configuration in force, secrets masked",
		Example: "  freeway config show\n  FREEWAY_GATEWAY_LISTEN=127.0.0.1:3128 freeway config show\n  freeway config show --format json | jq .gateway",
		Args:    cobra.MaximumNArgs(1),
	}, func(cfg config.Config, _ config.LoadOptions) error {
		if err := how.check(); err != nil {
			return err
		}
		if how.format == "json" {
			return a.reportJSON(how, config.Dump(cfg))
		}
		return a.write(how.output, []byte(config.Show(cfg)))
	})
	how.flags(cmd, "yaml or json", "yaml", "json")
	return cmd
}

// withConfig completes a command that takes an optional FILE and all flags of
// the configuration; those stay out of its help, which serve's shows.
func (a *app) withConfig(cmd *cobra.Command, do func(config.Config, config.LoadOptions) error) *cobra.Command {
	given := configFlags(cmd.Flags())
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 1 {
			a.configPath = args[0]
		}
		cfg, err := a.load(given())
		if err != nil {
			return err
		}
		return do(cfg, a.loadOptions(given()))
	}
	return cmd
}
