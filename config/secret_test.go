package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"freeway/config"
	"freeway/proxy"
)

// everySecret has a reference at every kind of key that takes one. The files stand
// beside it.
const everySecret = `admin:
  token: file:token
  tokens:
    - {name: vera, role: viewer, token: "env:VERA"}
    - {name: otto, role: operator, token_file: otto}
gateway:
  users:
    - {name: bob, password: "file:bob"}
    - {name: eve, password_file: eve}
    - {name: fred, password: "literal:file:not-a-file"}
checker:
  judges: [{url: "https://judge.test/", key: "file:judge"}, {url: "https://other.test/", key_file: judge}]
sources:
  list:
    - {name: paid, url: "https://list.test/", headers: {Authorization: "Bearer file:paid", X-Key: "env:XKEY", Accept: text/plain}}
    - {name: asks, url: "https://ask.test/", method: POST, body: "env:BODY"}
compat: {api_key: "file:compat"}
`

// secretHouse writes everySecret and its files, each with a value that begins
// with SECRET.
func secretHouse(t *testing.T) (config.LoadOptions, map[string]string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "freeway.yaml")
	put(t, path, everySecret)
	for _, name := range []string{"token", "otto", "bob", "eve", "judge", "paid", "compat"} {
		put(t, filepath.Join(dir, name), "SECRET-value-of-"+name+"\r\n")
	}
	env := map[string]string{"VERA": "SECRET-vera", "XKEY": "SECRET-xkey", "BODY": "SECRET-body"}
	return config.LoadOptions{Path: path, Lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}, env
}

// resolved loads and resolves.
func resolved(t *testing.T, s *config.Secrets, opt config.LoadOptions) (config.Config, []config.Stale, error) {
	t.Helper()
	c, err := config.Load(opt)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := s.Resolve(&c, opt)
	return c, stale, err
}

// values are the secrets of everySecret.
func values(c config.Config) map[string]string {
	return map[string]string{
		"admin.token": c.Admin.Token.Reveal(), "admin.tokens[0]": c.Admin.Tokens[0].Token.Reveal(), "admin.tokens[1]": c.Admin.Tokens[1].Token.Reveal(),
		"bob": c.Gateway.Users[0].Password.Reveal(), "eve": c.Gateway.Users[1].Password.Reveal(), "fred": c.Gateway.Users[2].Password.Reveal(),
		"judges[0]": c.Checker.Judges[0].Key.Reveal(), "judges[1]": c.Checker.Judges[1].Key.Reveal(),
		"Authorization": c.Sources.List[0].Headers["Authorization"], "X-Key": c.Sources.List[0].Headers["X-Key"], "Accept": c.Sources.List[0].Headers["Accept"],
		"body": c.Sources.List[1].Body.Reveal(), "compat": c.Compat.APIKey.Reveal(),
	}
}

func TestSecretsAreRead(t *testing.T) {
	t.Parallel()
	opt, _ := secretHouse(t)
	s := config.NewSecrets(opt.Lookup)
	c, stale, err := resolved(t, s, opt)
	if err != nil || len(stale) > 0 {
		t.Fatal(err, stale)
	}
	got := values(c)
	for path, want := range map[string]string{
		"admin.token": "SECRET-value-of-token", "admin.tokens[0]": "SECRET-vera", "admin.tokens[1]": "SECRET-value-of-otto",
		"bob": "SECRET-value-of-bob", "eve": "SECRET-value-of-eve", "fred": "file:not-a-file", "judges[0]": "SECRET-value-of-judge", "judges[1]": "SECRET-value-of-judge",
		"Authorization": "Bearer SECRET-value-of-paid", "X-Key": "SECRET-xkey", "Accept": "text/plain", "body": "SECRET-body", "compat": "SECRET-value-of-compat",
	} {
		if got[path] != want {
			t.Errorf("%s = %q, want %q", path, got[path], want)
		}
	}
	if err := c.Validate(); err != nil {
		t.Errorf("Validate of what was resolved: %v", err)
	}
	if err := config.CheckFiles(c, opt); err != nil {
		t.Errorf("CheckFiles of what was resolved: %v", err)
	}
	if got := len(s.Files()); got != 7 {
		t.Errorf("Files() = %v, want 7 files", s.Files())
	}
}

// TestSecretsAreNotShown: neither before nor after they are read.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	opt, _ := secretHouse(t)
	loaded, err := config.Load(opt)
	if err != nil {
		t.Fatal(err)
	}
	read, _, err := resolved(t, config.NewSecrets(opt.Lookup), opt)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]config.Config{"loaded": loaded, "read": read} {
		dump, err := json.Marshal(config.Dump(c))
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"Show": config.Show(c), "Dump": string(dump), "Settings": fmt.Sprint(config.Settings(c, opt)), "admin": fmt.Sprintf("%+v %#v", c.Admin, c.Gateway.Users)} {
			for _, secret := range []string{"SECRET", "not-a-file"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of the %s configuration holds %s:\n%s", what, name, secret, text)
				}
			}
		}
		if show := config.Show(c); !strings.Contains(show, "token: file:"+filepath.Join(filepath.Dir(opt.Path), "token")) || !strings.Contains(show, "env:VERA") {
			t.Errorf("Show of the %s configuration lacks the references:\n%s", name, show)
		}
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	opt, env := secretHouse(t)
	dir := filepath.Dir(opt.Path)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(filepath.Join(dir, "token")))
	put(t, filepath.Join(dir, "eve"), "\n")
	put(t, filepath.Join(dir, "paid"), "")
	delete(env, "BODY")
	want := []string{
		"freeway.yaml:2: admin.token: there is no file", "freeway.yaml:9: gateway.users[1].password_file: ", "eve\" is empty",
		"freeway.yaml:15: sources.list[0].headers.Authorization: ", "paid\" is empty", "freeway.yaml:16: sources.list[1].body: the variable \"BODY\" is not set, or empty",
	}
	_, _, err := resolved(t, config.NewSecrets(opt.Lookup), opt)
	var many config.Errors
	if !errors.As(err, &many) || len(many) != 4 {
		t.Fatalf("Resolve = %v, want 4 errors", err)
	}
	c, err2 := config.Load(opt)
	must(err2)
	check := config.CheckFiles(c, opt)
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("Resolve = %v, want %q in it", err, text)
		}
		if text != "eve\" is empty" && (check == nil || !strings.Contains(check.Error(), text)) && !strings.Contains(text, "password_file") {
			t.Errorf("CheckFiles = %v, want %q in it", check, text)
		}
	}
}

// TestSecretsChange: a new value is taken up; one that cannot be read leaves the
// old one, and is told of.
func TestSecretsChange(t *testing.T) {
	t.Parallel()
	opt, _ := secretHouse(t)
	dir := filepath.Dir(opt.Path)
	s := config.NewSecrets(opt.Lookup)
	before, _, err := resolved(t, s, opt)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "token"), "second\n")
	put(t, filepath.Join(dir, "eve"), "")
	if err := os.Remove(filepath.Join(dir, "paid")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again and again
		after, stale, err := resolved(t, s, opt)
		if err != nil {
			t.Fatal(err)
		}
		v := values(after)
		if v["admin.token"] != "second" || v["eve"] != "SECRET-value-of-eve" || v["Authorization"] != "Bearer SECRET-value-of-paid" {
			t.Errorf("after changes: %v", v)
		}
		var paths []string
		for _, x := range stale {
			paths = append(paths, x.Path)
			if strings.Contains(x.Err.Error(), "SECRET") {
				t.Errorf("%v holds a secret", x.Err)
			}
		}
		if want := []string{"gateway.users[1].password_file", "sources.list[0].headers.Authorization"}; !slices.Equal(slices.Sorted(slices.Values(paths)), want) {
			t.Errorf("stale: %v, want %v", paths, want)
		}
		if err := config.CheckFiles(after, opt); err != nil {
			t.Errorf("CheckFiles: %v", err)
		}
		if got := config.Changed(before, after); !slices.Equal(got, []string{"admin.token"}) {
			t.Errorf("Changed = %v, want admin.token alone", got)
		}
	}
}

// TestSecretsOfVariables: a variable can hold a reference as well; relative
// names begin in the working directory then.
func TestSecretsOfVariables(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a token")
	put(t, name, "from a file\n")
	opt := config.LoadOptions{Lookup: func(k string) (string, bool) {
		v, ok := map[string]string{"FREEWAY_ADMIN_TOKEN": "file:" + name}[k]
		return v, ok
	}}
	c, _, err := resolved(t, config.NewSecrets(opt.Lookup), opt)
	if err != nil || c.Admin.Token.Reveal() != "from a file" {
		t.Errorf("admin.token = %q, %v", c.Admin.Token.Reveal(), err)
	}
	for text, want := range map[string]string{"plain": "plain", "literal:env:X": "env:X", "file:" + name: "from a file"} {
		if got, err := config.Reveal(proxy.NewSecret(text), opt.Lookup); err != nil || got != want {
			t.Errorf("Reveal(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestSecretTwice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`admin: {token: "env:A", token_file: x}`:                                    "admin.token_file: ",
		`gateway: {users: [{name: a, password: "env:A", password_file: x}]}`:        "gateway.users[0].password_file: ",
		`checker: {judges: [{url: "https://j.test/", key: "env:A", key_file: x}]}`:  "checker.judges[0].key_file: ",
		`admin: {tokens: [{name: a, role: viewer, token: "env:A", token_file: x}]}`: "admin.tokens[0].hash: ",
	} {
		if _, err := config.Load(config.LoadOptions{Path: write(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%s) = %v, want %q", text, err, want)
		}
	}
}
