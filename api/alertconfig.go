package api

import (
	"errors"
	"fmt"
	"time"

	"freeway/internal/access"
	"freeway/proxy"
)

// Alertmanager is `admin.alertmanager`: what POST /api/hooks/alertmanager does.
type Alertmanager struct {
	Token     proxy.Secret  `yaml:"token"`      // what Alertmanager sends as a bearer token; it opens the webhook and nothing else. Tokens of operators and admins open it, too
	TokenFile string        `yaml:"token_file"` // a file that holds it, or its hash; instead of Token
	Actions   []AlertAction `yaml:"actions"`    // none: the webhook is off
}

// AlertAction is what one alert may bring about. It undoes itself.
type AlertAction struct {
	Alert  string        `yaml:"alert"`  // the name of the alert, exactly; alerts that no action names are ignored
	Action string        `yaml:"action"` // rest-source: the source in the alert's label source is not read on its schedule; check-faster: Factor times as many checks
	For    time.Duration `yaml:"for"`    // after which it ends at the latest, 1m to 24h; it ends at once when the alert is resolved
	Factor float64       `yaml:"factor"` // of check-faster, over 1 and at most 10: checker.rate is that many times as high, checker.recheck that many times as short
}

// The actions.
const (
	RestSource  = "rest-source"
	CheckFaster = "check-faster"
)

// Bounds of AlertAction.
const (
	minAlertTime   = time.Minute
	maxAlertTime   = 24 * time.Hour
	maxAlertFactor = 10
	maxAlertRules  = 100
)

// hookPath is the webhook.
const hookPath = "/api/hooks/alertmanager"

// validate reports every mistake, each beginning with the key it is about.
func (c Alertmanager) validate() error {
	var errs []error
	if !c.Token.IsZero() && c.Token.Reference() == "" && c.TokenFile != "" {
		errs = append(errs, errors.New("token_file: give either token or token_file"))
	}
	if len(c.Actions) > maxAlertRules {
		errs = append(errs, fmt.Errorf("actions: %d are over the limit of %d", len(c.Actions), maxAlertRules))
	}
	seen := map[[2]string]bool{}
	for i, a := range c.Actions {
		errs = append(errs, under(fmt.Sprintf("actions[%d]", i), a.validate())...)
		if seen[[2]string{a.Alert, a.Action}] {
			errs = append(errs, fmt.Errorf("actions[%d].action: %s of %s is there already", i, clip(a.Action), clip(a.Alert)))
		}
		seen[[2]string{a.Alert, a.Action}] = true
	}
	return errors.Join(errs...)
}

// validate reports every mistake, each beginning with the key it is about.
func (a AlertAction) validate() error {
	var errs []error
	if a.Alert == "" || len(a.Alert) > 200 {
		errs = append(errs, errors.New("alert: write the name of an alert, at most 200 bytes"))
	}
	if a.For < minAlertTime || a.For > maxAlertTime {
		errs = append(errs, fmt.Errorf("for: %v is not between %v and %v", a.For, minAlertTime, maxAlertTime))
	}
	switch a.Action {
	case RestSource:
		if a.Factor != 0 {
			errs = append(errs, errors.New("factor: it belongs to check-faster"))
		}
	case CheckFaster:
		if !(a.Factor > 1 && a.Factor <= maxAlertFactor) {
			errs = append(errs, fmt.Errorf("factor: %v is not over 1 and at most %d", a.Factor, maxAlertFactor))
		}
	default:
		errs = append(errs, fmt.Errorf("action: %q is unknown; use %s or %s", clip(a.Action), RestSource, CheckFaster))
	}
	return errors.Join(errs...)
}

// accessToken returns the webhook's own token; ok is false when it has none, or is off.
func (c Alertmanager) accessToken() (t access.Token, ok bool, err error) {
	if len(c.Actions) == 0 || c.Token.IsZero() && c.TokenFile == "" {
		return t, false, nil
	}
	h, err := hashOf("", c.Token, c.TokenFile)
	if err != nil {
		return t, false, fmt.Errorf("admin.alertmanager.token_file: %w", err)
	}
	return access.Token{Name: "alertmanager", Role: access.Operator, Hash: h, Only: hookPath}, true, nil
}
