//! `fetch POOL SEQ`.

use super::args::{FetchArgs, Global};
use super::open::Target;
use super::{Outcome, layout, open, output, pretty};

pub(super) fn run(global: &Global, args: &FetchArgs) -> Outcome {
    let message = match open::target(&args.pool)? {
        Target::Local(pool) => global
            .client_for(&pool)?
            .open_pool_to_read(&pool)?
            .get(args.seq)?,
        #[cfg(feature = "remote")]
        Target::Remote(url) => super::remote::client(&args.remote, &url)?
            .pool_of(&url)?
            .get(args.seq)?,
    };
    if args.json.json || !output::stdout_is_terminal() {
        output::print(|out| {
            message.write_envelope(out);
            out.push(b'\n');
        })?;
    } else {
        let (colour, width) = (output::stdout_has_colour(), layout::stdout_width());
        output::print(|out| pretty::write_message(&message, colour, width, out))?;
    }
    Ok(0)
}
