//! Declares the JSON body of a request once: for reading it and for the OpenAPI document.

/// Declares a body. Each field names the method of [`Input`](crate::api::input::Input) that reads
/// it.
macro_rules! request_body {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $read:ident($($argument:expr)?),)+
        }
    ) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        $vis struct $name {
            $($(#[$field_meta])* $field: $type,)+
        }

        impl $crate::api::input::FromInput for $name {
            const HAS_BODY: bool = true;

            fn from_input(
                input: &mut $crate::api::input::Input,
            ) -> Result<Self, $crate::api::input::Invalid> {
                // Every field is read before the first error is returned.
                $(let $field = input.$read(stringify!($field) $(, $argument)?);)+
                Ok(Self { $($field: $field?,)+ })
            }
        }
    };
}

pub(crate) use request_body;
