package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"freeway/config"
)

// loosePerm are the rights that nobody but owner and group may have on files with secrets.
const loosePerm = 0o006

// openSecrets returns the files with secrets that everybody on this machine can
// read or change; see secretFiles.
func openSecrets(cfg config.Config, path string, referred []string) (loose []string) {
	if runtime.GOOS == "windows" { // rights are not in the mode there
		return nil
	}
	for _, name := range secretFiles(cfg, path, referred) {
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&loosePerm != 0 {
			loose = append(loose, name)
		}
	}
	return loose
}

// secretFiles lists the files in which secrets are or may be; referred are those
// that references name. The store may hold passwords of upstreams, the audit
// file says who went where, the log what went wrong with it.
func secretFiles(cfg config.Config, path string, referred []string) []string {
	files := []string{cfg.Gateway.TLS.Key, cfg.Admin.TLS.Key, cfg.Store.Path, cfg.Audit.Path, cfg.Log.File, cfg.Tracing.HeadersFile}
	for _, p := range slices.Concat(cfg.Gateway.TLS.Certificates, cfg.Admin.TLS.Certificates) {
		files = append(files, p.Key)
	}
	if config.Inline(cfg) {
		files = append(files, path)
	}
	return slices.DeleteFunc(append(files, referred...), func(f string) bool { return f == "" })
}

// checkSecrets is the doctor's view of openSecrets.
func checkSecrets(cfg config.Config, path string) finding {
	f := finding{what: "permissions", says: "no file with secrets is open to everybody"}
	if loose := openSecrets(cfg, path, config.SecretFiles(cfg)); len(loose) > 0 {
		f.says, f.bad = fmt.Sprintf("everybody on this machine can read or change %s; chmod 600 %s", strings.Join(loose, ", "), strings.Join(loose, " ")), true
	}
	return f
}
