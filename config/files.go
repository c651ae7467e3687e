package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"freeway/internal/geo"
)

// maxSecret bounds a file that holds a secret or certificates, in bytes.
const maxSecret = 1 << 20

// minKey is the shortest key of a judge, in bytes.
const minKey = 16

// fileRef is a file that the configuration names.
type fileRef struct {
	path  string             // the key
	name  *string            // the file, "" when none is named
	check func(string) error // nil: somebody else's matter, such as a list that may come later
}

// files lists what c names on disk and reads.
func (c *Config) files() []fileRef {
	refs := []fileRef{
		{"gateway.tls.acme.ca", &c.Gateway.TLS.ACME.CA, checkAuthorities},
		{"admin.tls.client_ca", &c.Admin.TLS.ClientCA, checkAuthorities},
		{"admin.token_file", &c.Admin.TokenFile, checkToken},
		{"admin.alertmanager.token_file", &c.Admin.Alertmanager.TokenFile, checkToken},
		{"checker.judge_ca", &c.Checker.JudgeCA, checkAuthorities},
		{"geo.database", &c.Geo.Database, checkPlaces},
		{"sources.dir", &c.Sources.Dir, nil},
		{"tracing.headers_file", &c.Tracing.HeadersFile, checkHeaders},
	}
	for _, p := range c.pairs() {
		refs = append(refs, fileRef{p.path + "cert", p.cert, checkReadable}, fileRef{p.path + "key", p.key, checkReadable})
	}
	for i := range c.Gateway.Users {
		refs = append(refs, fileRef{fmt.Sprintf("gateway.users[%d].password_file", i), &c.Gateway.Users[i].PasswordFile, checkReadable})
	}
	for i := range c.Admin.Tokens {
		refs = append(refs, fileRef{fmt.Sprintf("admin.tokens[%d].token_file", i), &c.Admin.Tokens[i].TokenFile, checkToken})
	}
	for i := range c.Checker.Judges {
		refs = append(refs, fileRef{fmt.Sprintf("checker.judges[%d].key_file", i), &c.Checker.Judges[i].KeyFile, checkKey})
	}
	for i := range c.Sources.List {
		refs = append(refs, fileRef{fmt.Sprintf("sources.list[%d].file", i), &c.Sources.List[i].File, nil})
	}
	return refs
}

// anchor makes relative names of files begin in the folder of the
// configuration file where that is what names them. Those of variables and
// flags begin in the working directory.
func (d *decoder) anchor(c *Config, file string) {
	d.anchorSecrets(c, file)
	for _, f := range c.files() {
		if *f.name == "" || filepath.IsAbs(*f.name) {
			continue
		}
		if _, line := d.locate(f.path); line > 0 {
			*f.name = filepath.Join(filepath.Dir(file), *f.name)
		}
	}
}

// CheckFiles looks at what a configuration that Load returned names on disk:
// secrets, certificates and tables must be readable and be what they should,
// and folders that are written to must exist. It changes nothing. opt is that
// of Load and gives the places. The error is of type Errors.
func CheckFiles(c Config, opt LoadOptions) error {
	var errs Errors
	checkSecrets(&c, opt, &errs)
	for _, f := range c.files() {
		if *f.name == "" || f.check == nil || isResolved(&c, f.path) {
			continue
		}
		if err := f.check(*f.name); err != nil {
			errs.add("", f.path, "%s", firstLine(err))
		}
	}
	checkPairs(&c, &errs)
	for _, f := range []fileRef{{"store.path", &c.Store.Path, checkFolder}, {"audit.path", &c.Audit.Path, checkFolder}, {"log.file", &c.Log.File, checkFolder}} {
		if *f.name == "" {
			continue
		}
		if err := f.check(filepath.Dir(*f.name)); err != nil {
			errs.add("", f.path, "%s", firstLine(err))
		}
	}
	return located(errs, opt)
}

// checkReadable wants a file whose contents can be had.
func checkReadable(name string) error {
	_, err := contents(name)
	return err
}

// contents reads a file of limited size.
func contents(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", clip(name))
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder, not a file", clip(name))
	case info.Size() > maxSecret:
		return nil, fmt.Errorf("%s has more than %d bytes", clip(name), maxSecret)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", clip(name), cause(err))
	}
	return text, nil
}

// cause is what the system says, without the name of the file.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// checkToken wants a file that holds a token.
func checkToken(name string) error {
	text, err := contents(name)
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = fmt.Errorf("%s is empty", clip(name))
	}
	return err
}

// checkKey wants a file that holds the key of a judge.
func checkKey(name string) error {
	text, err := contents(name)
	if n := len(strings.TrimSpace(string(text))); err == nil && n < minKey {
		err = fmt.Errorf("%s: the key has %d bytes, at least %d are needed", clip(name), n, minKey)
	}
	return err
}

// checkAuthorities wants a file with certificates.
func checkAuthorities(name string) error {
	text, err := contents(name)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s holds no certificate", clip(name))
	}
	return err
}

// checkPlaces wants a table that opens.
func checkPlaces(name string) error {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s", clip(name))
	}
	db, err := geo.Open(name)
	if err != nil {
		return err
	}
	return db.Close()
}

// checkFolder wants a folder that is there.
func checkFolder(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s", clip(name))
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", clip(name))
	}
	return nil
}
