//! An image in place of the usual root directory: `docker run` without docker.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid};
use runtime::{Feature, Inside, Narrator, RootDirectory, Variable};

use crate::Image;

/// What a container begins with.
#[derive(Debug, clap::Args)]
pub struct FromImage {
    /// Begin with an image, an OCI layout or a tar file of `docker save`: its
    /// layers lie below those of --layer, and COMMAND, --user and --workdir
    /// default to its own
    #[arg(long, value_name = "DIR|TAR", conflicts_with = "rootfs")]
    image: Option<PathBuf>,

    #[arg(skip)]
    opened: Option<Image>,
}

impl Feature for FromImage {
    fn before(
        &mut self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        let Some(directory) = &self.image else { return Ok(()) };
        let opened = Image::open(directory, owner, runtime);
        let told = || format!("--image {}", directory.display());
        self.opened = Some(opened.with_context(told)?);
        Ok(())
    }

    fn root_directory(
        &mut self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<Option<RootDirectory>> {
        let lowest =
            self.opened.as_ref().and_then(|it| it.layers.trees().next());
        let open = |it: PathBuf| RootDirectory::open(runtime, Some(&it), owner);
        lowest.map(open).transpose()
    }

    // Before an overlay is made of the root directory and all that is over it.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let Some(image) = &self.opened else { return Ok(()) };
        let Image { config, layers } = image;
        container.layers.extend(layers.trees().skip(1));
        let variables = config.env.iter().flatten();
        container.variables.extend(
            variables
                .filter_map(|it| it.split_once('='))
                .map(|(name, value)| Variable::new(name, value)),
        );
        let words = config.entrypoint.iter().chain(&config.cmd).flatten();
        let words: Vec<_> = words.map(OsString::from).collect();
        if !words.is_empty() {
            container.default_command = words;
        }
        if let Some(workdir) = config.working_dir() {
            container.workdir = workdir.into();
        }
        if container.user.is_none() && config.user.is_some() {
            let (uid, gid) = image.user()?;
            container.user = Some((Uid::from_raw(uid), Gid::from_raw(gid)));
        }
        Ok(())
    }
}
