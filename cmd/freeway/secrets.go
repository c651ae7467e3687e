package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"freeway/config"
)

// loosePerm are the rights that nobody but owner and group may have on files with secrets.
const loosePerm = 0o006

// openSecrets returns the files with secrets that everybody on this machine can
// read or change.
func openSecrets(cfg config.Config, path string) (loose []string) {
	if runtime.GOOS == "windows" { // rights are not in the mode there
		return nil
	}
	for _, name := range secretFiles(cfg, path) {
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&loosePerm != 0 {
			loose = append(loose, name)
		}
	}
	return loose
}

// secretFiles lists the files in which secrets are or may be. The store may hold
// passwords of upstreams, the audit file says who went where, the log what went wrong with it.
func secretFiles(cfg config.Config, path string) []string {
	files := []string{cfg.Admin.TokenFile, cfg.Gateway.TLS.Key, cfg.Store.Path, cfg.Audit.Path, cfg.Log.File, cfg.Tracing.HeadersFile}
	inline := !cfg.Admin.Token.IsZero() || !cfg.Compat.APIKey.IsZero()
	for _, t := range cfg.Admin.Tokens {
		files = append(files, t.TokenFile)
		inline = inline || !t.Token.IsZero()
	}
	for _, u := range cfg.Gateway.Users {
		files = append(files, u.PasswordFile)
		inline = inline || u.Password != nil && !u.Password.IsZero()
	}
	for _, j := range cfg.Checker.Judges {
		files = append(files, j.KeyFile)
	}
	if inline {
		files = append(files, path)
	}
	var named []string
	for _, f := range files {
		if f != "" {
			named = append(named, f)
		}
	}
	return named
}

// checkSecrets is the doctor's view of openSecrets.
func checkSecrets(cfg config.Config, path string) finding {
	f := finding{what: "permissions", says: "no file with secrets is open to everybody"}
	if loose := openSecrets(cfg, path); len(loose) > 0 {
		f.says, f.bad = fmt.Sprintf("everybody on this machine can read or change %s; chmod 600 %s", strings.Join(loose, ", "), strings.Join(loose, " ")), true
	}
	return f
}
