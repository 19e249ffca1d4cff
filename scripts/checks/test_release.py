"""Tests of scripts/release against programs that only note how they were called: no registry is at hand."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = "registry.example/acme/rag-api"
INDEX, AMD, ARM = (f"sha256:{c * 64}" for c in "abc")
COMMIT = "1a2b3c4d5e6f7890" * 2 + "12345678"
IDENTITY = "https://github.com/acme/rag-api/.github/workflows/ci.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"

MANIFESTS = [
    {"digest": AMD, "platform": {"os": "linux", "architecture": "amd64"}},
    {"digest": ARM, "platform": {"os": "linux", "architecture": "arm64"}},
    {"digest": f"sha256:{'d' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}},
]
SBOM = {"components": [{"purl": "pkg:cargo/axum@0.8.0"}, {"purl": "pkg:deb/debian/libc6@2.36"}]}

# Notes its arguments, fails when they hold the words of $FAIL, else answers like the real program.
STUB = """#!/usr/bin/env python3
import json, os, sys
call = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
open(os.environ["CALLS"], "a").write(call + "\\n")
fail = os.environ.get("FAIL", "")
if fail and all(word in call for word in fail.split()):
    sys.exit(1)
if "inspect --format" in call:
    print(os.environ["MANIFEST"])
elif "inspect --raw" in call:
    print(os.environ["RAW"])
elif call.startswith("az"):
    print(os.environ["REVISIONS"])
elif call.startswith("git ls-remote"):
    print(os.environ["HEAD_OF_MAIN"] + "\\trefs/heads/main")
elif call.startswith("syft"):
    open(call.split("cyclonedx-json=")[1].split()[0], "w").write(os.environ["SBOM"])
"""


def revision(weight, commit):
    env = [{"name": "BUILD_SHA", "value": commit}, {"name": "APP_VERSION", "value": "1.2.3"}, {"name": "KEY", "secretRef": "key"}]
    return {"properties": {"trafficWeight": weight, "template": {"containers": [{"env": env}]}}}


class Release(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        (self.path / "bin").mkdir()
        for name in ("docker", "cosign", "gh", "syft", "git", "az"):
            stub = self.path / "bin" / name
            stub.write_text(STUB)
            stub.chmod(0o755)
        self.environment = {
            "PATH": f"{self.path}/bin:{os.environ['PATH']}",
            "CALLS": str(self.path / "calls"),
            "GITHUB_OUTPUT": str(self.path / "output"),
            "MANIFEST": json.dumps({"digest": INDEX}),
            "RAW": json.dumps({"manifests": MANIFESTS}),
            "SBOM": json.dumps(SBOM),
            "HEAD_OF_MAIN": COMMIT,
            "REVISIONS": json.dumps([revision(0, "0" * 40), revision(90, COMMIT), revision(None, "1" * 40)]),
            "AZURE_RESOURCE_GROUP": "rg",
            "CONTAINER_APP_NAME": "app",
            "IMAGE": IMAGE,
            "TAG": "sha-1a2b3c4",
            "DIGEST": INDEX,
            "COMMIT": COMMIT,
            "REPOSITORY": "acme/rag-api",
            "DIGESTS_DIR": str(self.path / "digests"),
            "SBOM_DIR": str(self.path / "sbom"),
        }

    def run_script(self, name, wanted=0, **changes):
        """Calls made, after a run that ends with the wanted code."""
        (self.path / "calls").write_text("")
        (self.path / "output").write_text("")
        environment = {key: value for key, value in (self.environment | changes).items() if value is not None}
        done = subprocess.run([ROOT / "scripts/release" / name], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, wanted, done.stdout + done.stderr)
        self.said = done.stdout + done.stderr
        return (self.path / "calls").read_text().splitlines()

    def output(self):
        return dict(line.split("=", 1) for line in (self.path / "output").read_text().splitlines())

    def record(self, *digests):
        for digest in digests:
            self.run_script("record_digest.sh", DIGEST=digest)

    def test_a_digest_travels_from_build_to_index(self):
        self.record(AMD, ARM)
        calls = self.run_script("publish.sh")
        self.assertEqual(calls[0], f"docker buildx imagetools create --tag {IMAGE}:sha-1a2b3c4 {IMAGE}@{AMD} {IMAGE}@{ARM}")
        self.assertEqual(self.output(), {"digest": INDEX})

    def test_an_index_without_a_platform_is_not_made(self):
        self.record(AMD)
        self.assertEqual(self.run_script("publish.sh", 2), [])
        self.record(ARM)
        self.run_script("publish.sh", 1, RAW=json.dumps({"manifests": MANIFESTS[:1]}))
        self.assertEqual(self.output(), {})

    def test_wrong_names_are_refused_before_anything_runs(self):
        for script, changes in (
            ("record_digest.sh", {"DIGEST": "sha256:abc"}),
            ("sign.sh", {"DIGEST": f"{INDEX};id"}),
            ("sign.sh", {"IMAGE": f"{IMAGE}:latest"}),
            ("publish.sh", {"TAG": "a b"}),
            ("promote.sh", {"DIGEST": "latest"}),
            ("verify.sh", {"COMMIT": "main"}),
            ("verify.sh", {"REPOSITORY": None}),
            ("plan.sh", {"REPOSITORY": "acme/rag-api$(id)"}),
            ("plan.sh", {"COMMIT": COMMIT[:7]}),
        ):
            with self.subTest(script=script, changes=changes):
                self.record(AMD, ARM)
                self.assertEqual(self.run_script(script, 2, **changes), [])

    def test_each_platform_is_attested_by_its_own_list_and_the_index_signed_last(self):
        calls = [call for call in self.run_script("sign.sh") if call.startswith("cosign")]
        folder = self.environment["SBOM_DIR"]
        self.assertEqual(
            calls,
            [
                f"cosign attest --yes --type cyclonedx --predicate {folder}/linux-amd64.cdx.json {IMAGE}@{AMD}",
                f"cosign attest --yes --type cyclonedx --predicate {folder}/linux-arm64.cdx.json {IMAGE}@{ARM}",
                f"cosign sign --yes --recursive {IMAGE}@{INDEX}",
            ],
        )

    def test_nothing_is_signed_after_a_failure(self):
        no_crates = json.dumps({"components": [SBOM["components"][1]]})
        for changes in ({"FAIL": "syft"}, {"FAIL": "cosign attest"}, {"SBOM": no_crates}, {"SBOM": "{}"}, {"RAW": "{}"}, {"FAIL": "--raw"}):
            with self.subTest(**changes):
                calls = self.run_script("sign.sh", 1, **changes)
                self.assertFalse([call for call in calls if call.startswith("cosign sign")])

    def test_a_dry_run_writes_nothing(self):
        self.record(AMD, ARM)
        for script in ("publish.sh", "sign.sh", "promote.sh"):
            calls = self.run_script(script, DRY_RUN="1")
            self.assertFalse([call for call in calls if call.startswith("cosign") or "create" in call])
            self.assertIn("would run:", self.said)

    def test_everything_is_verified_by_digest_identity_issuer_and_commit(self):
        calls = [call for call in self.run_script("verify.sh") if not call.startswith("docker")]
        signer = (
            f"--certificate-identity {IDENTITY} --certificate-oidc-issuer {ISSUER}"
            f" --certificate-github-workflow-repository acme/rag-api --certificate-github-workflow-sha {COMMIT}"
        )
        provenance = (
            f"gh attestation verify oci://{IMAGE}@{INDEX} --repo acme/rag-api --cert-identity {IDENTITY} --cert-oidc-issuer {ISSUER}"
            f" --source-digest {COMMIT} --source-ref refs/heads/main --deny-self-hosted-runners"
        )
        expected = [f"cosign verify {signer} {IMAGE}@{INDEX}", provenance]
        for digest in (AMD, ARM):
            expected += [f"cosign verify {signer} {IMAGE}@{digest}", f"cosign verify-attestation --type cyclonedx {signer} {IMAGE}@{digest}"]
        self.assertEqual(calls, expected)
        self.assertEqual(self.output(), {"image": f"{IMAGE}@{INDEX}"})

    def test_one_missing_proof_is_enough_to_refuse(self):
        for fail in (
            "inspect --format",
            "inspect --raw",
            f"cosign verify {INDEX}",
            "gh attestation",
            f"cosign verify {AMD}",
            f"cosign verify {ARM}",
            f"verify-attestation {AMD}",
            f"verify-attestation {ARM}",
        ):
            with self.subTest(fail=fail):
                self.run_script("verify.sh", 1, FAIL=fail)
                self.assertEqual(self.output(), {})

    def test_latest_moves_only_for_the_newest_commit_and_is_read_back(self):
        self.assertIn(f"docker buildx imagetools create --tag {IMAGE}:latest {IMAGE}@{INDEX}", self.run_script("promote.sh"))
        self.assertEqual(self.run_script("promote.sh", HEAD_OF_MAIN="0" * 40), ["git ls-remote --exit-code origin refs/heads/main"])
        self.run_script("promote.sh", 1, MANIFEST=json.dumps({"digest": AMD}))
        self.run_script("promote.sh", 1, FAIL="git")

    def test_what_serves_is_the_revision_with_most_of_the_traffic(self):
        self.run_script("serving.sh")
        self.assertEqual(self.output(), {"commit": COMMIT, "version": "1.2.3"})

    def test_a_rollback_does_not_wait_for_the_record(self):
        for changes in ({"FAIL": "az"}, {"REVISIONS": "[]"}, {"REVISIONS": "{"}, {"REVISIONS": json.dumps([revision(100, "x; id")])}):
            with self.subTest(**changes):
                self.run_script("serving.sh", **changes)
                self.assertEqual(self.output()["commit"], "")
        self.run_script("serving.sh", 2, CONTAINER_APP_NAME=None)


class Plan(unittest.TestCase):
    """With the real git."""

    def test_names_come_from_repository_and_commit(self):
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        done = self.plan(commit, "--on", "HEAD")
        said = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.assertEqual((said["image"], said["tag"]), ("ghcr.io/acme/rag-api", f"sha-{commit[:7]}"))
        self.assertRegex(said["version"], r"^\d+\.\d+\.\d+")
        self.assertRegex(said["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_a_commit_that_is_not_on_the_branch_is_refused(self):
        self.assertEqual(self.plan(COMMIT, "--on", "HEAD").returncode, 1)

    def plan(self, commit, *arguments):
        environment = {"PATH": os.environ["PATH"], "REPOSITORY": "Acme/RAG-api", "COMMIT": commit}
        return subprocess.run([ROOT / "scripts/release/plan.sh", *arguments], env=environment, capture_output=True, text=True, timeout=60)


if __name__ == "__main__":
    unittest.main()
