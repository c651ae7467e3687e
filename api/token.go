package api

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"freeway/internal/access"
	"freeway/proxy"
)

// Token is one of `admin.tokens`: who may use the admin API besides those who
// have admin.token. Exactly one of Hash, Token and TokenFile is given.
type Token struct {
	Name      string       `yaml:"name"`       // shown in the log
	Role      access.Role  `yaml:"role"`       // viewer, operator or admin
	Hash      string       `yaml:"hash"`       // sha256: and 64 hex digits, as freeway config token prints it
	Token     proxy.Secret `yaml:"token"`      // the token itself; better use hash or token_file
	TokenFile string       `yaml:"token_file"` // a file that holds the token or its hash
}

// validate reports every mistake, each beginning with the key it is about.
func (t Token) validate() error {
	var errs []error
	if t.Name == "" {
		errs = append(errs, errors.New("name: no name; say whose token it is"))
	}
	if t.Role == access.Nobody {
		errs = append(errs, errors.New("role: no role; use viewer, operator or admin"))
	}
	given := 0
	for _, has := range []bool{t.Hash != "", !t.Token.IsZero() && (t.TokenFile == "" || t.Token.Reference() == ""), t.TokenFile != ""} {
		if has {
			given++
		}
	}
	if given != 1 {
		errs = append(errs, errors.New("hash: give exactly one of hash, token and token_file"))
	}
	if t.Hash != "" {
		if _, err := access.ParseHash(t.Hash); err != nil {
			errs = append(errs, fmt.Errorf("hash: %w", err))
		}
	}
	return errors.Join(errs...)
}

// AccessTokens returns what the configuration accepts, those in files read now. None
// means that no token is asked for; that of the webhook opens nothing else. The error names the key.
func (c Config) AccessTokens() ([]access.Token, error) {
	var out []access.Token
	if !c.Token.IsZero() || c.TokenFile != "" {
		h, err := hashOf("", c.Token, c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("admin.token_file: %w", err)
		}
		out = append(out, access.Token{Name: "admin", Role: access.Admin, Hash: h})
	}
	for i, t := range c.Tokens {
		h, err := hashOf(t.Hash, t.Token, t.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("admin.tokens[%d]: %w", i, err)
		}
		out = append(out, access.Token{Name: t.Name, Role: t.Role, Hash: h})
	}
	if t, ok, err := c.Alertmanager.accessToken(); err != nil {
		return nil, err
	} else if ok {
		out = append(out, t)
	}
	return out, nil
}

// hashOf returns the hash of a token that is given in one of three ways.
func hashOf(hash string, token proxy.Secret, file string) (access.Hash, error) {
	text := token.Reveal()
	switch {
	case hash != "":
		return access.ParseHash(hash)
	case token.Reference() != "": // it was read with the configuration
		text = strings.TrimSpace(text)
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return access.Hash{}, err
		}
		text = strings.TrimSpace(string(b))
	}
	switch {
	case text == "":
		return access.Hash{}, errors.New(strings.TrimSpace(file + " is empty"))
	case strings.HasPrefix(text, "sha256:"):
		return access.ParseHash(text)
	}
	return access.HashToken(text), nil
}
